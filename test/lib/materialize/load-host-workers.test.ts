import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { openFamily } from '../../../lib/materialize/open-family.js'
import { hostDifferences } from '../../helpers/host-models.js'
import { openSample } from '../../helpers/loaded-models.js'
import { naivePack } from '../../helpers/naive-pack.js'
import { tempFolder } from '../../helpers/temp-folder.js'

/** Reads when nobody switches: only whole models may be seen. A model is whole when all its items are equal. */
const READER = `
  const { parentPort, workerData: { version, data, reads, torn } } = require('node:worker_threads')
  parentPort.postMessage('ready')
  while (Atomics.load(reads, 0) < 50) {
    const before = Atomics.load(version, 0)
    if (before % 2 === 1) { Atomics.wait(version, 0, before, 1000); continue }
    let whole = true
    for (let i = 1; i < data.length; i++) whole &&= data[i] === data[0]
    if (Atomics.load(version, 0) !== before) continue
    Atomics.add(reads, 0, 1)
    if (!whole || data[0] < 1 || data[0] > 3) Atomics.add(torn, 0, 1)
  }
`

test('a worker that looks at version sees whole models only', async (t) => {
  const elements = 200_000
  const shape = [elements]
  const facts = { name: 'm', dtype: 'BF16', shape }
  const fill = (value: number) => new Uint8Array(new Uint16Array(elements).fill(value).buffer)
  const positions = Array.from({ length: elements }, (_, i) => i)
  const delta = (value: number) => ({
    ...{ kind: 'delta' as const, ...facts, positions, index: 'u16' as const },
    values: fill(value),
  })
  const folder = await naivePack(tempFolder(t), {
    merged: { 'model.safetensors': [{ ...facts, data: fill(1) }] },
    tasks: { two: { tensors: [delta(2)] }, three: { tensors: [delta(3)] } },
  })
  const model = await (await openFamily(folder)).load(null, { preload: true, memory: 2 ** 30 })
  const { data } = model.tensors.get('m')!
  const counter = () => new Int32Array(new SharedArrayBuffer(4))
  const [reads, torn] = [counter(), counter()]
  const worker = new Worker(READER, { eval: true, workerData: { version: model.version, data, reads, torn } })
  await once(worker, 'message')
  const ended = once(worker, 'exit')
  let switches = 0
  while (Atomics.load(reads, 0) < 50) await model.switchTo(['two', 'three', null][switches++ % 3]!)
  await ended
  t.is(torn[0], 0)
  t.is(model.version[0], 2 * switches)
})

/** Exchanges for ever over memory that another thread made, until it is terminated. */
const SWITCHER = `
  const { parentPort, workerData: { target } } = require('node:worker_threads')
  const native = require(process.cwd() + '/lib/native.cjs')
  const elements = target.length / 2
  const positions = new Uint16Array(elements).map((_, i) => i % 65536)
  const starts = new BigUint64Array(elements / 65536 + 1).map((_, i) => BigInt(i * 65536))
  const values = new Uint8Array(target.length)
  const bytes = (array) => new Uint8Array(array.buffer)
  const layer = { elements, starts: bytes(starts), positions: bytes(positions), values, bytes: null, at: 0 }
  const tensors = [{ name: 'm', target, itemSize: 2, layers: [layer, layer] }]
  globalThis.kept = native.unsharedBuffer(target)
  void (async () => {
    for (let i = 0; ; i++) {
      const job = native.exchangeEntries({ tensors }, { threads: 2 })
      if (i === 2) parentPort.postMessage('running')
      await job
    }
  })()
`

test('a worker that ends while it switches takes nobody with it', async (t) => {
  const elements = 16 * 65536
  for (let round = 0; round < 4; round++) {
    const target = new Uint8Array(new SharedArrayBuffer(elements * 2)).fill(7)
    const worker = new Worker(SWITCHER, { eval: true, workerData: { target } })
    await once(worker, 'message')
    await worker.terminate()
    // Its jobs have ended: nothing writes any more.
    const after = target.slice()
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.true(Buffer.from(after).equals(target))
  }
})

const LOADER = `
  const { parentPort, workerData: { folder, module } } = require('node:worker_threads')
  void (async () => {
    const { openFamily } = await import(module)
    const family = await openFamily(folder)
    const model = await family.load('one')
    await model.switchTo('two')
    const tensors = [...model.tensors.values()].map(({ name, data }) => ({ name, data }))
    parentPort.postMessage(tensors)
  })()
`

test('memory that a worker loaded stays when the worker ends', async (t) => {
  const family = await openSample(tempFolder(t))
  const module = new URL('../../../dist/index.mjs', import.meta.url).href
  const worker = new Worker(LOADER, { eval: true, workerData: { folder: family.path, module } })
  const [tensors] = await once(worker, 'message')
  await worker.terminate()
  for (const { name, data } of tensors) {
    const wanted = await family.tensor(name, { task: 'two' })
    t.true(Buffer.from(data.buffer, 0, data.byteLength).equals(wanted.data), name)
  }
  const model = await family.load('two')
  t.deepEqual(await hostDifferences(family, model), [])
})
