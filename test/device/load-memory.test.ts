import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import type { ErrorCode } from '../../lib/errors/error-codes.js'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { fold } from '../../lib/fold/fold.js'
import { openFamily } from '../../lib/materialize/open-family.js'
import { emulatedGpu } from '../helpers/emulated-gpu.js'
import { differences, largeFamily, openSample } from '../helpers/loaded-models.js'
import { loraBase, loraLayers } from '../helpers/lora-models.js'
import { naivePack } from '../helpers/naive-pack.js'
import { sampleFamily } from '../helpers/sample-family.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { writePeftAdapter } from '../helpers/write-adapter.js'
import { writeModel } from '../helpers/write-model.js'

const device = 'cuda:0'

emulatedGpu(test)
// What a failed call left behind would soon be missed.
process.env.TASKFOLD_EMULATED_MEMORY = String(100 << 20)

test.serial('tasks that were not used for longest are dropped when memory is short', async (t) => {
  const family = await openFamily(await naivePack(tempFolder(t), largeFamily(['a', 'b', 'c', 'd'])))
  const model = await family.load('a', { device, gpuMemory: 64 << 20 })
  await model.switchTo('b')
  await model.switchTo('c')
  t.deepEqual(model.loadedTasks, ['a', 'b', 'c'])
  await model.switchTo('a')
  await model.switchTo('d')
  t.deepEqual(model.loadedTasks, ['c', 'a', 'd'])
  t.true(model.bytes <= 64 << 20)
  t.deepEqual(await differences(family, model), [])
  await model.switchTo('b')
  t.deepEqual(model.loadedTasks, ['a', 'd', 'b'])
  t.deepEqual(await differences(family, model), [])
  await model.close()
})

test.serial('what does not fit is OUT_OF_MEMORY with both sizes, and leaves nothing', async (t) => {
  const family = await openFamily(await naivePack(tempFolder(t), largeFamily(['a', 'b', 'c', 'd'])))
  const error = await t.throwsAsync(family.load('a', { device, gpuMemory: 64 << 20, preload: true }), {
    instanceOf: TaskfoldError,
  })
  t.is(error.code, 'OUT_OF_MEMORY')
  t.regex(
    error.message,
    /task 'd' needs 16777216 bytes of GPU memory, but \d+ are left \(\d+ of 67108864 in use\)/,
  )
  t.regex(error.hint!, /gpuMemory/)
  // All of the memory is there again.
  const model = await family.load('d', { device, gpuMemory: 64 << 20, preload: ['a', 'b'] })
  t.deepEqual(model.loadedTasks, ['d', 'a', 'b'])
  await model.close()
})

test.serial('a delta that lies is PACK_INVALID, and the model stays what it was', async (t) => {
  const folder = await naivePack(join(tempFolder(t), 'family'), sampleFamily(), {
    stored: (stored, task) => {
      const index = stored.find(({ name }) => name === 'a.index')
      if (task === 'one') new Uint16Array(index!.data.buffer, 0, 2).set([5, 5])
    },
  })
  const family = await openFamily(folder)
  const model = await family.load('two', { device })
  const bytes = model.bytes
  const error = await t.throwsAsync(model.switchTo('one'), { instanceOf: TaskfoldError })
  t.is(error.code, 'PACK_INVALID')
  t.like(error, { tensor: 'a', task: 'one', file: join(folder, 'tasks/one/delta.safetensors') })
  t.regex(error.message, /ascending/)
  t.deepEqual([model.task, model.bytes], ['two', bytes])
  t.deepEqual(await differences(family, model), [])
  await model.close()
  await t.throwsAsync(family.load('one', { device }), { code: 'PACK_INVALID' })
})

test.serial('files that changed since are INPUT_CHANGED', async (t) => {
  const family = await openSample(tempFolder(t))
  const model = await family.load('one', { device })
  await model.switchTo('two')
  const other = await family.load('one', { device })
  appendFileSync(join(family.path, 'tasks/two/delta.safetensors'), 'x')
  await t.throwsAsync(other.switchTo('two'), { code: 'INPUT_CHANGED' })
  t.deepEqual([other.task, other.loadedTasks], ['one', ['one']])
  await model.close()
  await other.close()
})

test.serial('a signal ends loading, and a listener sees it go on', async (t) => {
  const family = await openFamily(await naivePack(tempFolder(t), largeFamily(['a', 'b'])))
  const seen: string[] = []
  const model = await family.load('a', {
    device,
    onProgress: ({ phase, bytesDone, bytesTotal, task }) => {
      if (bytesDone === bytesTotal) seen.push(`${phase} ${bytesTotal} ${task ?? ''}`)
    },
  })
  t.true(seen.includes(`load ${8 << 20} `), String(seen))
  t.true(seen.includes(`load ${16 << 20} a`), String(seen))
  const bytes = model.bytes
  const stop = new AbortController()
  const switching = model.switchTo('b', { signal: stop.signal })
  stop.abort()
  await t.throwsAsync(switching, { code: 'CANCELLED' })
  t.deepEqual([model.task, model.bytes, model.loadedTasks], ['a', bytes, ['a']])
  await model.switchTo('b')
  await model.close()
  await t.throwsAsync(family.load('a', { device, signal: AbortSignal.abort() }), { code: 'CANCELLED' })
  const gone = await openFamily(family.path)
  gone.close()
  await t.throwsAsync(gone.load('a', { device }), { code: 'INVALID_ARGUMENT' })
})

test.serial('what cannot be loaded is refused with advice', async (t) => {
  const family = await openSample(tempFolder(t))
  const refused = async (call: Promise<unknown>, code: ErrorCode, message: RegExp, hint: RegExp) => {
    const error = await t.throwsAsync(call, { instanceOf: TaskfoldError })
    t.is(error.code, code)
    t.regex(error.message, message)
    t.regex(error.hint ?? '', hint)
  }
  await refused(family.load('one', { device: 'cuda:9' }), 'DEVICE_UNAVAILABLE', /no cuda:9/, /./)
  await refused(family.load('one', { device: 'cuda:0,cuda:1' }), 'INVALID_ARGUMENT', /one device/, /each/)
  await refused(family.load('one', { device: 'gpu' as 'cpu' }), 'INVALID_ARGUMENT', /not a device/, /cuda:0/)
  await refused(family.load('three', { device }), 'NOT_FOUND', /no task 'three'/, /one of its tasks/)
  await refused(family.load('one', { device, preload: ['x'] }), 'NOT_FOUND', /no task 'x'/, /./)
  const wrong = 'one' as unknown as string[]
  await t.throwsAsync(family.load('one', { device, preload: wrong }), { code: 'INVALID_ARGUMENT' })
})

test.serial('a LoRA task is refused, and preload: true leaves it out', async (t) => {
  const folder = tempFolder(t)
  const base = writeModel(join(folder, 'base'), { tensors: loraBase(1) })
  const full = writeModel(join(folder, 'full'), { tensors: loraBase(2) })
  const adapter = join(folder, 'adapter')
  writePeftAdapter(adapter, { layers: loraLayers(3) })
  await fold({ base, tasks: { small: adapter, full }, output: join(folder, 'mixed') })
  await fold({ base, tasks: { small: adapter }, output: join(folder, 'pure') })
  const mixed = await openFamily(join(folder, 'mixed'))
  const error = await t.throwsAsync(mixed.load('small', { device }), { instanceOf: TaskfoldError })
  t.is(error.code, 'INVALID_ARGUMENT')
  t.regex(error.message, /'small' is a LoRA task/)
  t.regex(error.hint!, /--task small --merged/)
  const model = await mixed.load(null, { device, preload: true })
  t.deepEqual(model.loadedTasks, ['full'])
  await t.throwsAsync(model.switchTo('small'), { code: 'INVALID_ARGUMENT' })
  await model.switchTo('full')
  t.deepEqual(await differences(mixed, model), [])
  await model.close()
  const pure = await openFamily(join(folder, 'pure'))
  await t.throwsAsync(pure.load(null, { device }), { code: 'INVALID_ARGUMENT', message: /no θ\* to load/ })
})

const LOADER = `
  const { parentPort } = require('node:worker_threads')
  const native = require(process.cwd() + '/lib/native.cjs')
  const bytes = 48 << 20
  const from = new Uint8Array(bytes)
  native.openDevices({ devices: [0], memoryBytes: 64 << 20 }).then(async (device) => {
    const started = () => parentPort.postMessage('loading')
    for (;;) {
      const job = { bytes, copies: [{ name: 'w', from, at: 0 }] }
      const model = await native.loadResidentModel(job, { device, onProgress: started })
      await model.read({ task: null, at: 0, out: from }, {})
      model.close()
    }
  })`

test.serial('a worker that ends while it loads leaves nothing on the device', async (t) => {
  const family = await openFamily(await naivePack(tempFolder(t), largeFamily(['a', 'b', 'c'])))
  for (let round = 0; round < 4; round++) {
    const worker = new Worker(LOADER, { eval: true, execArgv: [] })
    await new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    await new Promise((resolve) => setTimeout(resolve, round * 7))
    await worker.terminate()
  }
  const model = await family.load('a', { device, gpuMemory: 64 << 20, preload: true })
  t.is(model.loadedTasks.length, 3)
  await model.close()
})

test.serial('a device that is lost in a switch leaves a model that can only be closed', async (t) => {
  const family = await openSample(tempFolder(t))
  const model = await family.load('one', { device, preload: true })
  process.env.TASKFOLD_EMULATED_ERROR = 'launch=719'
  t.teardown(() => delete process.env.TASKFOLD_EMULATED_ERROR)
  const error = await t.throwsAsync(model.switchTo('two'), { instanceOf: TaskfoldError })
  t.is(error.code, 'DEVICE_UNAVAILABLE')
  t.regex(error.message, /a switch failed, the model can't be used any more/)
  t.regex(error.hint!, /until this process ends/)
  delete process.env.TASKFOLD_EMULATED_ERROR
  await t.throwsAsync(model.read('a'), { code: 'DEVICE_UNAVAILABLE' })
  await t.throwsAsync(model.switchTo(null), { code: 'DEVICE_UNAVAILABLE' })
  await model.close()
})
