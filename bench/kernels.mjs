// Kernels in memory: GB/s of the bytes that must move, and the time as a multiple of a memcpy of the same bytes.

import { rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { interleaved } from './measure.mjs'

const native = createRequire(import.meta.url)('../lib/native.cjs')

function randomModel(elements, dtype, tasks) {
  const item = dtype === 'F32' ? 4 : 2
  const round = (values) => {
    if (dtype === 'F32') return new Uint8Array(values.buffer)
    const bits = new Uint32Array(values.buffer)
    return new Uint8Array(Uint16Array.from(bits, (x) => (x + 0x7fff + ((x >>> 16) & 1)) >>> 16).buffer)
  }
  let seed = 1
  const next = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0
    return (seed >>> 8) / 16777216 - 0.5
  }
  const base = new Float32Array(elements).map(() => 0.06 * (next() + next()))
  const fineTunes = []
  for (let t = 0; t < tasks; t++) {
    fineTunes.push(
      round(
        base.map((x) => {
          const r = next()
          return x + 0.02 * r * r * r + 0.001 * r
        }),
      ),
    )
  }
  return { base: round(base), fineTunes, item }
}

/** @returns rows { kernel, ms, GB/s, × memcpy } */
export async function benchKernels({ elements, dtype, tasks = 4, threads, rounds }) {
  const { base, fineTunes, item } = randomModel(elements, dtype, tasks)
  const bytes = elements * item
  const control = { threads }
  const operand = (region) => ({ region, dtype })
  const merged = new Uint8Array(bytes)
  const out = new Uint8Array(bytes)
  const lambda = Math.fround(0.3)
  const shape = { name: 'w', elements, dtype }
  const tensors = [{ ...shape, base: operand(base), tasks: fineTunes.map(operand), out: merged }]
  const file = native.openFile(path.join(os.tmpdir(), `taskfold-bench-${process.pid}.bin`), 'w')
  const rows = []
  const row = (kernel, moved, times) => {
    const { min } = times[kernel]
    rows.push({
      kernel: `${kernel} (${dtype}, ${threads} threads)`,
      ms: min.toFixed(1),
      'GB/s': (moved / min / 1e6).toFixed(1),
      '× memcpy': (min / times.memcpy.min).toFixed(2),
    })
  }
  const copyOf = (count) => () =>
    native.copyRegions(
      { copies: Array.from({ length: count }, () => ({ name: 'w', from: base, to: out })) },
      control,
    )

  let selection
  const fused = async () => {
    const k = Math.floor(elements * 0.1 + 0.5)
    selection = new native.Selection(fineTunes.map(() => ({ k, elements })))
    await native.sampleResiduals({ tensors, lambda, selection }, control)
    await native.mergeTensors({ tensors, lambda, selection }, control)
    while (!selection.advance()) await native.countResiduals({ tensors: residuals, selection }, control)
  }
  const residuals = [{ ...shape, merged, tasks: fineTunes.map(operand) }]
  // memcpy reads and writes: (T + 2)/2 copies move as many bytes as T + 1 reads and one write.
  const copies = (tasks + 2) / 2
  let times = await interleaved(
    {
      memcpy: copyOf(copies),
      merge: () => native.mergeTensors({ tensors, lambda, nonFinite: 'keep' }, control),
      'merge + select 10 %': fused,
    },
    rounds,
  )
  row('merge', (tasks + 2) * bytes, times)
  row('merge + select 10 %', (tasks + 2) * bytes, times)

  for (const density of [0.01, 0.05, 0.1]) {
    const k = Math.floor(elements * density + 0.5)
    const name = `select ${density * 100} % of a difference`
    const job = { elements, dtype, task: operand(fineTunes[0]), merged: base, k }
    times = await interleaved({ memcpy: copyOf(1), [name]: () => native.selectEntries(job, control) }, rounds)
    row(name, 2 * bytes, times)
  }

  const [threshold] = selection.thresholds()
  let emitted
  const emit = async () => {
    const job = {
      tensors: [{ ...shape, task: operand(fineTunes[0]), merged }],
      threshold,
      index: 'auto',
      out: file,
    }
    emitted = await native.emitDelta({ ...job, offset: 0 }, control)
  }
  times = await interleaved({ memcpy: copyOf(1), 'emit 10 %': emit }, rounds)
  row('emit 10 %', 2 * bytes, times)
  const [stored] = emitted.tensors
  const range = ({ offset, length }) => ({ file, offset, length })
  const delta = { kept: stored.kept, index: stored.index, blocks: range(stored.blocks) }
  Object.assign(delta, { indexBytes: range(stored.indexBytes), value: range(stored.value) })
  const scatter = () => native.scatterTensors({ tensors: [{ ...shape, merged, delta, out }] }, control)
  const fingerprint = () => native.fingerprintRegions({ regions: [base, merged] }, control)
  times = await interleaved({ memcpy: copyOf(1), 'scatter 10 %': scatter, fingerprint }, rounds)
  row('scatter 10 %', 2 * bytes, times)
  row('fingerprint', 2 * bytes, times)
  file.close()
  rmSync(file.path)
  return rows
}
