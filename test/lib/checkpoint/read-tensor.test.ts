import { appendFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { readCheckpoint } from '../../../lib/checkpoint/open-checkpoint.js'
import { readTensor } from '../../../lib/checkpoint/read-tensor.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { tinyRaw, tinySafetensors } from '../../helpers/tiny-checkpoint.js'

test('offsets beyond 4 GiB', async (t) => {
  const file = join(tempFolder(t), 'huge.safetensors')
  const json = '{"big":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]},'
  const rest = '"end":{"dtype":"U8","shape":[4],"data_offsets":[4398046511104,4398046511108]}}'
  const header = tinyRaw(json + rest)
  writeFileSync(file, header)
  // A sparse file: it takes a few kilobytes.
  truncateSync(file, header.length + 2 ** 42)
  appendFileSync(file, Buffer.from([1, 2, 3, 4]))
  const checkpoint = await readCheckpoint(file)
  t.is(checkpoint.totalBytes, 2 ** 42 + 4)
  t.deepEqual([...(await readTensor(checkpoint, 'end')).data], [1, 2, 3, 4])
  t.like(await t.throwsAsync(readTensor(checkpoint, 'big')), { code: 'OUT_OF_MEMORY', file, tensor: 'big' })
})

test('readTensor: a name that is not there, a file that became shorter, a signal', async (t) => {
  const file = join(tempFolder(t), 'model.safetensors')
  writeFileSync(
    file,
    tinySafetensors({ tensors: { a: { dtype: 'U8', shape: [100], data: new Uint8Array(100) } } }),
  )
  const checkpoint = await readCheckpoint(file)
  t.like(await t.throwsAsync(readTensor(checkpoint, 'constructor')), {
    code: 'NOT_FOUND',
    tensor: 'constructor',
  })
  t.like(await t.throwsAsync(readTensor(checkpoint, 'a', { signal: AbortSignal.abort() })), {
    code: 'CANCELLED',
  })
  truncateSync(file, checkpoint.files[0]!.size - 1)
  t.like(await t.throwsAsync(readTensor(checkpoint, 'a')), { code: 'FILE_TRUNCATED', file, tensor: 'a' })
})
