import { appendFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { ErrorCode } from '../../../lib/errors/error-codes.js'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { fold } from '../../../lib/fold/fold.js'
import { type Family, openFamily } from '../../../lib/materialize/open-family.js'
import { hostDifferences } from '../../helpers/host-models.js'
import { largeFamily, openSample } from '../../helpers/loaded-models.js'
import { loraBase, loraLayers } from '../../helpers/lora-models.js'
import { type NaiveFamily, naivePack } from '../../helpers/naive-pack.js'
import { seededRandom } from '../../helpers/random.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { callsTakeTurns } from '../../helpers/wanted-tensors.js'
import { writePeftAdapter } from '../../helpers/write-adapter.js'
import { writeModel } from '../../helpers/write-model.js'
import { foldWritten, writeFamily } from '../../property/check-family.js'
import { familyCase } from '../../property/random-settings.js'

for (let seed = 1; seed <= 10; seed++) {
  const { family: inputs, settings, label } = familyCase(seed)
  test(`random switches give each task's tensors: ${label}`, async (t) => {
    const folder = tempFolder(t)
    const output = join(folder, 'family')
    await foldWritten(writeFamily(folder, inputs), output, inputs, settings)
    const family = await openFamily(output)
    const random = seededRandom(seed)
    const memory = random.pick([0, 2000, 2 ** 40])
    const model = await family.load(random.pick(family.tasks), { memory })
    t.deepEqual(await hostDifferences(family, model), [])
    for (let step = 0; step < 8; step++) {
      const task = random.chance(0.25) ? null : random.pick(family.tasks)
      await model.switchTo(task, { threads: random.pick([1, 2, 3]) })
      t.is(model.task, task)
      t.deepEqual(await hostDifferences(family, model), [], `step ${step}, ${task}`)
    }
    await model.close()
  })
}

test('all kinds, both index codes, all dtypes, there and back, in the same buffers', async (t) => {
  const family = await openSample(tempFolder(t))
  const model = await family.load('one', { preload: true, device: 'cpu' })
  t.is(model.device, 'cpu')
  t.deepEqual([...model.loadedTasks].sort(), ['one', 'two'])
  const buffers = new Map<string, ArrayBufferLike>()
  for (const task of ['one', 'two', null, 'one', null, 'two', 'one']) {
    const bytes = model.bytes
    await model.switchTo(task)
    t.is(model.bytes, bytes)
    t.deepEqual(await hostDifferences(family, model), [], String(task))
    for (const [name, { data }] of model.tensors) {
      const buffer = buffers.get(name) ?? data.buffer
      // θ* has no ties: there the name has memory of its own.
      if (name !== 'tied') t.is(data.buffer, buffer, name)
      buffers.set(name, buffer)
    }
  }
  const { data } = model.tensors.get('a')!
  t.true(data instanceof Float32Array)
  t.is(model.tensors.get('tied')!.data.buffer, model.tensors.get('table')!.data.buffer)
  t.true(model.tensors.get('b')!.data instanceof Uint16Array)
  t.true(model.tensors.get('d')!.data instanceof Uint8Array)
  t.true(model.tensors.get('ids')!.data instanceof BigInt64Array)
  await model.switchTo('two')
  await model.switchTo('one')
  t.is(model.tensors.get('a')!.data, data, 'the same view')
  await model.close()
})

test('θ* itself, and a task that is entered twice', async (t) => {
  const family = await openSample(tempFolder(t))
  await using model = await family.load(null)
  t.is(model.task, null)
  t.deepEqual(model.loadedTasks, [])
  t.deepEqual(await hostDifferences(family, model), [])
  await model.switchTo('two')
  const [bytes, version] = [model.bytes, model.version[0]]
  await model.switchTo('two')
  t.deepEqual([model.bytes, model.version[0]], [bytes, version])
  t.deepEqual(await hostDifferences(family, model), [])
})

/** One tensor of which `one` changes everything and `two` a little; as large as not to be held whole. */
function denseFamily(elements: number): NaiveFamily {
  const random = seededRandom(5)
  const bytes = () => Uint8Array.from({ length: elements * 2 }, () => random.below(0x3c))
  const shape = [elements]
  const positions = Array.from({ length: elements }, (_, i) => i)
  const facts = { kind: 'delta' as const, name: 'm', dtype: 'BF16', shape }
  const some = positions.filter((i) => i % 100 === 3)
  const two = {
    ...facts,
    positions: some,
    values: bytes().subarray(0, some.length * 2),
    index: 'u16' as const,
  }
  return {
    merged: { 'model.safetensors': [{ name: 'm', dtype: 'BF16', shape, data: bytes() }] },
    tasks: {
      one: { tensors: [{ ...facts, positions, values: bytes(), index: 'bitmap' }] },
      other: { tensors: [{ ...facts, positions, values: bytes(), index: 'bitmap' }] },
      two: { tensors: [two] },
    },
  }
}

test('tensors that change nearly everywhere are held whole when small, else decoded into place', async (t) => {
  for (const elements of [70_000, 600_000]) {
    const family = await openFamily(await naivePack(tempFolder(t), denseFamily(elements)))
    const model = await family.load('one', { memory: 2 ** 30 })
    for (const task of ['two', 'one', 'other', null, 'other', 'two', null, 'one']) {
      await model.switchTo(task)
      t.deepEqual(await hostDifferences(family, model), [], `${elements}, ${task}`)
    }
    await model.switchTo(null)
    const dense = 2 * elements * 2 // of two tasks
    const held = model.bytes - elements * 2
    t.true(elements === 70_000 ? held > dense : held < dense / 10, `${elements}: ${held}`)
    await model.close()
  }
})

test('a switch that fails on the way leaves a model that can only be closed', async (t) => {
  const folder = tempFolder(t)
  const family = await openFamily(await naivePack(folder, denseFamily(600_000)))
  const model = await family.load('one')
  const version = model.version[0]!
  renameSync(join(family.path, 'merged'), join(folder, 'away'))
  const failed = await t.throwsAsync(model.switchTo(null), { instanceOf: TaskfoldError })
  t.is(failed.code, 'NOT_FOUND')
  t.regex(failed.message, /can't be used any more/)
  t.regex(failed.hint!, /load it again/)
  t.is(model.version[0], version + 1, 'readers wait')
  renameSync(join(folder, 'away'), join(family.path, 'merged'))
  for (const call of [() => model.switchTo('two'), () => model.read('m')])
    t.is((await t.throwsAsync(call, { instanceOf: TaskfoldError })).message, failed.message)
  await model.close()
})

test('a delta that lies leaves the model as it was', async (t) => {
  const family = await openFamily(
    await naivePack(tempFolder(t), denseFamily(70_000), {
      stored: (stored, task) => {
        const index = stored.find(({ name }) => name === 'm.index')
        if (task === 'two') new Uint16Array(index!.data.buffer, 0, 2).set([5, 5])
      },
    }),
  )
  const model = await family.load('one')
  const { bytes } = model
  const version = model.version[0]
  const error = await t.throwsAsync(model.switchTo('two'), { instanceOf: TaskfoldError })
  t.like(error, {
    code: 'PACK_INVALID',
    ...{ tensor: 'm', task: 'two', file: join(family.path, 'tasks/two/delta.safetensors') },
  })
  t.deepEqual([model.task, model.bytes, model.version[0]], ['one', bytes, version])
  t.deepEqual(await hostDifferences(family, model), [])
  await model.switchTo(null)
  await model.close()
})

test('files that changed since are INPUT_CHANGED', async (t) => {
  const family = await openSample(tempFolder(t))
  const model = await family.load('one', { preload: ['two'] })
  const other = await family.load('one')
  appendFileSync(join(family.path, 'tasks/two/delta.safetensors'), 'x')
  await t.throwsAsync(other.switchTo('two'), { code: 'INPUT_CHANGED' })
  t.deepEqual([other.task, other.loadedTasks], ['one', ['one']])
  await model.switchTo('two')
  t.is(model.task, 'two', 'its entries are in memory')
})

test('tasks that were not used for longest are dropped when memory is short', async (t) => {
  const family = await openFamily(await naivePack(tempFolder(t), largeFamily(['a', 'b', 'c', 'd'])))
  const task = 16 << 20
  const model = await family.load('a', { memory: 2 * task + 1000, preload: ['b'] })
  t.deepEqual(model.loadedTasks, ['a', 'b'])
  await model.switchTo('b')
  await model.switchTo('c')
  t.deepEqual(model.loadedTasks, ['b', 'c'])
  await model.switchTo('b')
  await model.switchTo('d')
  t.deepEqual(model.loadedTasks, ['b', 'd'])
  t.deepEqual(await hostDifferences(family, model), [])
  t.is(model.bytes, (8 << 20) + task + 2 * task, 'θ*, the memory of what it does not have, and entries')
  const none = await family.load('a', { memory: 0 })
  await none.switchTo('b')
  t.deepEqual(none.loadedTasks, ['b'])
  t.deepEqual(await hostDifferences(family, none), [])
  const error = await t.throwsAsync(family.load('a', { memory: task, preload: ['b'] }))
  t.like(error, { code: 'OUT_OF_MEMORY' })
})

test('calls at once run one after the other', async (t) => {
  const family = await openSample(tempFolder(t))
  const model = await family.load('one')
  await callsTakeTurns(t, family, model)
})

test('a signal ends loading, and a listener sees it go on', async (t) => {
  const family = await openFamily(await naivePack(tempFolder(t), denseFamily(70_000)))
  const seen: string[] = []
  const model = await family.load('one', {
    onProgress: ({ phase, bytesDone, bytesTotal, task }) => {
      if (bytesDone === bytesTotal) seen.push(`${phase} ${bytesTotal} ${task ?? ''}`.trim())
    },
  })
  t.deepEqual([...new Set(seen)], ['load 140000', 'load 280000 one'])
  const stop = new AbortController()
  const switching = model.switchTo('two', { signal: stop.signal })
  stop.abort()
  await t.throwsAsync(switching, { code: 'CANCELLED' })
  t.is(model.task, 'one')
  t.deepEqual(await hostDifferences(family, model), [])
  await model.switchTo('two')
  await model.close()
  await t.throwsAsync(family.load('one', { signal: AbortSignal.abort() }), { code: 'CANCELLED' })
})

test('an unshared array is the same memory, and stays in this thread', async (t) => {
  const family = await openSample(tempFolder(t))
  const model = await family.load('one')
  const array = model.unshared('a')
  t.true(array instanceof Float32Array && array.buffer instanceof ArrayBuffer)
  await model.switchTo('two')
  t.deepEqual(Buffer.from(array.buffer), Buffer.from((await family.tensor('a', { task: 'two' })).data))
  try {
    structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] })
  } catch (error) {
    t.is((error as Error).name, 'DataCloneError')
  }
  t.is(array.buffer.byteLength, 560_000)
  await model.switchTo('one')
  t.is(model.unshared('empty').length, 0)
  t.throws(() => model.unshared('constructor'), { code: 'NOT_FOUND' })
  await model.close()
  t.is(array.length, 140_000, 'who holds it keeps it')
  t.throws(() => model.unshared('a'), { code: 'INVALID_ARGUMENT' })
})

test('close is idempotent, ends what runs first, and refuses what comes later', async (t) => {
  const family = await openSample(tempFolder(t))
  const model = await family.load('one')
  const { data } = model.tensors.get('a')!
  const running = model.switchTo('two')
  await Promise.all([model.close(), model.close()])
  await running
  t.deepEqual(Buffer.from(data.buffer), Buffer.from((await family.tensor('a', { task: 'two' })).data))
  t.deepEqual([model.task, model.bytes, model.tensors.size, model.loadedTasks.length], [null, 0, 0, 0])
  for (const call of [() => model.switchTo('one'), () => model.read('a')]) {
    const error = await t.throwsAsync(call, { instanceOf: TaskfoldError })
    t.is(error.code, 'INVALID_ARGUMENT')
    t.regex(error.message, /this model was closed/)
  }
})

test('what cannot be loaded is refused with advice', async (t) => {
  const family = await openSample(tempFolder(t))
  const load = (...args: unknown[]) => (family.load as (...args: unknown[]) => Promise<unknown>)(...args)
  const refused = async (call: Promise<unknown>, code: ErrorCode, message: RegExp) => {
    const error = await t.throwsAsync(call, { instanceOf: TaskfoldError })
    t.is(error.code, code)
    t.regex(error.message, message)
  }
  await refused(load('three'), 'NOT_FOUND', /no task 'three'/)
  await refused(load('one', { preload: ['x'] }), 'NOT_FOUND', /no task 'x'/)
  await refused(load('one', { preload: 'one' }), 'INVALID_ARGUMENT', /preload/)
  await refused(load('one', { memory: -1 }), 'INVALID_ARGUMENT', /memory/)
  await refused(load('one', { gpuMemory: 2 ** 30 }), 'INVALID_ARGUMENT', /gpuMemory/)
  await refused(load('one', { device: 'gpu' }), 'INVALID_ARGUMENT', /not a device/)
  const model = await family.load('one')
  await refused(model.switchTo('three'), 'NOT_FOUND', /no task 'three'/)
  await refused(model.read('constructor'), 'NOT_FOUND', /has no tensor/)
  t.deepEqual(await hostDifferences(family, model), [])
})

test('a LoRA task is refused, and preload: true leaves it out', async (t) => {
  const folder = tempFolder(t)
  const base = writeModel(join(folder, 'base'), { tensors: loraBase(1) })
  const full = writeModel(join(folder, 'full'), { tensors: loraBase(2) })
  const adapter = join(folder, 'adapter')
  writePeftAdapter(adapter, { layers: loraLayers(3) })
  await fold({ base, tasks: { small: adapter, full }, output: join(folder, 'mixed') })
  await fold({ base, tasks: { small: adapter }, output: join(folder, 'pure') })
  const mixed: Family = await openFamily(join(folder, 'mixed'))
  const error = await t.throwsAsync(mixed.load('small'), { instanceOf: TaskfoldError })
  t.regex(error.message, /'small' is a LoRA task/)
  const model = await mixed.load(null, { preload: true })
  t.deepEqual(model.loadedTasks, ['full'])
  await t.throwsAsync(model.switchTo('small'), { code: 'INVALID_ARGUMENT' })
  await model.switchTo('full')
  t.deepEqual(await hostDifferences(mixed, model), [])
  const pure = await openFamily(join(folder, 'pure'))
  await t.throwsAsync(pure.load(null), { code: 'INVALID_ARGUMENT', message: /no θ\* to load/ })
})
