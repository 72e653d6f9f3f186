import { join } from 'node:path'
import test from 'ava'
import { NativeFiles } from '../../../lib/binding/native-files.js'
import type { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { openPack } from '../../../lib/pack/open-pack.js'
import { checkTaskArrays, decodeDeltas } from '../../../lib/report/verify-deltas.js'
import { naivePack } from '../../helpers/naive-pack.js'
import { sampleFamily } from '../../helpers/sample-family.js'
import { tempFolder } from '../../helpers/temp-folder.js'

for (const task of ['one', 'two']) {
  test(`every entry of a delta is decoded (task ${task})`, async (t) => {
    for (const broken of [false, true]) {
      const root = await naivePack(join(tempFolder(t), 'family'), sampleFamily(), {
        stored(tensors) {
          const index = tensors.find((tensor) => tensor.name === 'a.index')
          // The last block's: a position behind the tensor, or a mark without an entry.
          if (broken && index?.dtype === 'U16') new Uint16Array(index.data.buffer)[5] = 9000
          if (broken && index?.dtype === 'U8') index.data[17499]! ^= 0x80
        },
      })
      const pack = await openPack(root)
      const opened = await pack.task(task)
      const problems: TaskfoldError[] = []
      const files = new NativeFiles()
      let bytes = 0
      const add = (n: number) => {
        bytes += n
      }
      const run = { files, problems, add }
      const deltas = await checkTaskArrays(opened, run)
      await decodeDeltas(opened, deltas, run)
      files.close()
      t.deepEqual(
        problems.map((problem) => [problem.code, problem.tensor, problem.task]),
        broken ? [['PACK_INVALID', 'a', task]] : [],
      )
      t.is(
        bytes,
        deltas.reduce((sum, tensor) => sum + (tensor.kind === 'rows' ? 64 : tensor.byteLength), 0),
      )
    }
  })
}
