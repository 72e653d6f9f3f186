import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import type { Progress } from '../../../lib/io/progress.js'
import { materialize } from '../../../lib/materialize/materialize.js'
import { openPack } from '../../../lib/pack/open-pack.js'
import { verify } from '../../../lib/report/verify.js'
import type { VerifyResult } from '../../../lib/report/verify-types.js'
import { itemBytes, type NaiveFamily, naivePack, naiveUnfold } from '../../helpers/naive-pack.js'
import { sampleFamily } from '../../helpers/sample-family.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { tinySafetensors } from '../../helpers/tiny-checkpoint.js'

/** Writes a task's model as one file, perhaps changed. */
function original(
  folder: string,
  family: NaiveFamily,
  task: string,
  change: Record<string, (data: Uint8Array) => void> = {},
) {
  const tensors = new Map(
    [...naiveUnfold(family, task)].map(([name, tensor]) => [
      name,
      { ...tensor, data: Uint8Array.from(tensor.data) },
    ]),
  )
  for (const [name, edit] of Object.entries(change)) edit(tensors.get(name)!.data)
  const path = join(folder, `${task}-original.safetensors`)
  const order = [...tensors.keys()].sort(
    (a, b) => itemBytes[tensors.get(b)!.dtype]! - itemBytes[tensors.get(a)!.dtype]!,
  )
  writeFileSync(path, tinySafetensors({ tensors, order }))
  return path
}

async function problemsOf(t: Parameters<typeof tempFolder>[0], run: Promise<VerifyResult>) {
  const error = await t.throwsAsync(run, { instanceOf: TaskfoldError })
  t.is(error.code, 'VERIFY_FAILED', error.message)
  return error.problems!.map(({ code, file, tensor, task }) => ({ code, file, tensor, task }))
}

test('an honest family passes, and progress reaches its total', async (t) => {
  const root = await naivePack(join(tempFolder(t), 'family'), sampleFamily())
  const events: Progress[] = []
  const result = await verify(root, { onProgress: (event) => events.push(event) })
  t.is(result.files, 9)
  t.is(result.mergedTensors, 10)
  t.deepEqual(
    result.tasks.map((task) => [task.name, task.tensors, task.against]),
    [
      ['one', 13, null],
      ['two', 2, null],
    ],
  )
  t.deepEqual(JSON.parse(JSON.stringify(result)), result)
  const last = events.at(-1)!
  t.is(last.bytesDone, last.bytesTotal)
  t.true(events.every((event) => event.bytesDone <= event.bytesTotal))
})

test('against the very model, everything is exact', async (t) => {
  const folder = tempFolder(t)
  const family = sampleFamily()
  const root = await naivePack(join(folder, 'family'), family)
  const against = { one: original(folder, family, 'one') }
  const [one, two] = (await verify(root, { against })).tasks
  t.like(one!.against, {
    exact: true,
    differing: 0,
    maxError: 0,
    relativeError: 0,
    retainedEnergy: 1,
    converted: 0,
  })
  t.is(two!.against, null)
  const unfolded = await materialize(await openPack(root), 'two', join(folder, 'two'))
  t.true((await verify(root, { against: { two: unfolded.folder } })).tasks[1]!.against!.exact)
})

test('entries that were not kept may differ, and the error is reported', async (t) => {
  const folder = tempFolder(t)
  const family = sampleFamily()
  const root = await naivePack(join(folder, 'family'), family)
  const path = original(folder, family, 'one', {
    a: (data) => new DataView(data.buffer).setFloat32(4 * 6, 3, true),
  })
  const before = new DataView(naiveUnfold(family, 'one').get('a')!.data.buffer).getFloat32(4 * 6, true)
  const { against } = (await verify(root, { against: { one: path } })).tasks[0]!
  t.is(against!.exact, false)
  t.is(against!.differing, 1)
  t.is(against!.maxError, Math.abs(3 - before))
  t.true(against!.relativeError! > 0 && against!.retainedEnergy! < 1)
})

test('wrong kept values and wrong full copies are problems, all of them named', async (t) => {
  const folder = tempFolder(t)
  const family = sampleFamily()
  const root = await naivePack(join(folder, 'family'), family)
  const flip = (data: Uint8Array) => {
    data[0]! ^= 1
  }
  const last = (data: Uint8Array) => {
    data[data.length - 1]! ^= 1
  }
  const path = original(folder, family, 'one', { a: flip, head: flip, ids: flip, table: last, mask: flip })
  const found = await problemsOf(t, verify(root, { against: { one: path } }))
  t.deepEqual(found.map((problem) => problem.tensor).sort(), ['a', 'head', 'ids', 'mask', 'table'])
  t.true(
    found.every(
      (problem) => problem.code === 'VERIFY_FAILED' && problem.task === 'one' && problem.file === path,
    ),
  )
})

test('another model is recognised from its header', async (t) => {
  const folder = tempFolder(t)
  const family = sampleFamily()
  const root = await naivePack(join(folder, 'family'), family)
  const path = join(folder, 'other.safetensors')
  writeFileSync(
    path,
    tinySafetensors({
      tensors: {
        a: { dtype: 'F32', shape: [140000], data: new Uint8Array(560000) },
        b: { dtype: 'I16', shape: [3, 5], data: new Uint8Array(30) },
        extra: { dtype: 'U8', shape: [1], data: [0] },
      },
    }),
  )
  const found = await problemsOf(t, verify(root, { against: { two: path } }))
  t.deepEqual(found.map((problem) => problem.tensor).sort(), ['a', 'b', 'extra'])
})

test('damage anywhere is found, all of it in one run', async (t) => {
  const root = await naivePack(join(tempFolder(t), 'family'), sampleFamily())
  const damage = (path: string, at: number) => {
    const bytes = readFileSync(join(root, path))
    bytes[at < 0 ? bytes.length + at : at]! ^= 1
    writeFileSync(join(root, path), bytes)
  }
  damage('merged/config.json', 2)
  damage('merged/model-00002-of-00002.safetensors', -1)
  damage('tasks/one/delta.safetensors', -1)
  rmSync(join(root, 'tasks/one/config.json'))
  const found = await problemsOf(t, verify(root))
  const name = (path: string) => join(root, path)
  t.deepEqual(
    found
      .map(({ code, file, tensor }) => [code, file, tensor])
      .sort((a, b) => (String(a) < String(b) ? -1 : 1)),
    [
      ['HASH_MISMATCH', name('merged/config.json'), undefined],
      ['HASH_MISMATCH', name('merged/model-00002-of-00002.safetensors'), undefined],
      ['HASH_MISMATCH', name('merged/model-00002-of-00002.safetensors'), 'ids'],
      ['HASH_MISMATCH', name('tasks/one/delta.safetensors'), undefined],
      ['PACK_INVALID', name('tasks/one/config.json'), undefined],
    ],
  )
})

test('a missing shard of merged/ is reported with what else is missing', async (t) => {
  const root = await naivePack(join(tempFolder(t), 'family'), sampleFamily())
  rmSync(join(root, 'merged/model-00001-of-00002.safetensors'))
  rmSync(join(root, 'tasks/one/config.json'))
  const found = await problemsOf(t, verify(root))
  t.deepEqual(
    found.map(({ code }) => code),
    ['PACK_INVALID', 'PACK_INVALID', 'SHARD_MISSING'],
  )
})

test('files that nothing vouches for are listed', async (t) => {
  const root = await naivePack(join(tempFolder(t), 'family'), sampleFamily())
  for (const path of [
    'merged/model.safetensors',
    'merged/.hidden',
    'tasks/one/nested/more.py',
    'README.md',
  ]) {
    writeFileSync(join(root, path), '')
  }
  const { unlisted } = await verify(root)
  t.deepEqual(unlisted, ['merged/model.safetensors', 'tasks/one/nested/more.py'])
})

test('an unknown task to compare with, and a signal', async (t) => {
  const root = await naivePack(join(tempFolder(t), 'family'), sampleFamily())
  const unknown = await t.throwsAsync(verify(root, { against: { three: root } }), {
    instanceOf: TaskfoldError,
  })
  t.is(unknown.code, 'NOT_FOUND')
  const stop = new AbortController()
  const run = verify(root, { signal: stop.signal, onProgress: () => stop.abort() })
  const cancelled = await t.throwsAsync(run, { instanceOf: TaskfoldError })
  t.is(cancelled.code, 'CANCELLED')
})
