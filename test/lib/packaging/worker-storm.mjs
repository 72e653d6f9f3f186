// Run by worker-storm.test.ts as a process of its own: ends worker threads while their native jobs run. A completion
// that reaches a dying environment must not abort the process.
import { createRequire } from 'node:module'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'

const native = createRequire(import.meta.url)('../../../lib/native.cjs')
const WORKERS = 30
const ELEMENTS = 300_000

/** One memory-only merge with a selection: a long job that holds JS buffers. */
function mergeJob() {
  const floats = (value) => new Uint8Array(new Float32Array(ELEMENTS).fill(value).buffer)
  const operand = (value) => ({ region: floats(value), dtype: 'F32' })
  const tensor = {
    name: 'w',
    elements: ELEMENTS,
    dtype: 'F32',
    base: operand(1),
    tasks: [operand(2), operand(3)],
    out: floats(0),
  }
  return { tensors: [tensor], lambda: Math.fround(0.3) }
}

if (isMainThread) {
  for (let i = 0; i < WORKERS; i++) {
    const worker = new Worker(new URL(import.meta.url))
    await new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    await new Promise((resolve) => setTimeout(resolve, i % 6))
    await worker.terminate()
  }
  // The engine is still usable afterwards.
  const merged = mergeJob()
  await native.mergeTensors(merged, {})
  const first = new Float32Array(merged.tensors[0].out.buffer)[0]
  console.log(`storm over, merged ${first.toFixed(4)}`)
} else {
  const bytes = new Uint8Array(4_000_000).fill(7)
  const nothing = () => {}
  parentPort.postMessage('started')
  for (;;) {
    await Promise.all([
      native.fingerprintRegions({ regions: [bytes, bytes] }, { onProgress: nothing }),
      native.mergeTensors(mergeJob(), { onProgress: nothing }),
      native.mergeTensors(mergeJob(), {}),
    ])
  }
}
