// Selection of the largest |a − b| in memory against torch.topk and torch.kthvalue.

import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { writeCheckpoint } from '../../dist/index.mjs'
import { randomWeights } from '../lora-data.mjs'
import { compare, rowsOf } from './compare.mjs'

const native = createRequire(import.meta.url)('../../lib/native.cjs')
const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

/** kthvalue works on one thread and takes long. */
const KTH_SHARE = 8

/** Targets of design.md section 10, by density: at least so many times faster than topk, at most so many times the read. */
const TARGETS = { 0.01: [80, 1.5], 0.05: [70, 1.7], 0.1: [50, 2.2] }

/** A fine-tune: changes have heavy tails. */
function changed(base) {
  const drift = randomWeights(1, base.length)
  return base.map((x, i) => x + 0.2 * drift[i] * drift[i] * drift[i] + 0.001 * drift[i])
}

/** @returns rows for 1, 5 and 10 % */
export async function selectSection({ work, rounds, threads, torch, elements }) {
  const b = randomWeights(1, elements)
  const a = changed(b)
  if (torch !== null) {
    const files = {}
    for (const [name, data] of Object.entries({ a, b })) {
      const folder = path.join(work, `select-${name}`)
      const tensor = { name: 'w', dtype: 'F32', shape: [elements], data: bytesOf(data) }
      await writeCheckpoint(folder, [tensor], { force: true, sync: false })
      files[name] = path.join(folder, 'model.safetensors')
    }
    await torch.ask({ run: 'hold', ...files })
  }
  const rows = []
  for (const density of [0.01, 0.05, 0.1]) {
    const k = Math.floor(elements * density + 0.5)
    const job = { elements, dtype: 'F32', task: { region: bytesOf(a), dtype: 'F32' }, merged: bytesOf(b), k }
    const select = () => native.selectEntries(job, { threads })
    const alternatives = { taskfold: { run: () => select().then(() => undefined) } }
    let equality = {}
    const targets = {}
    if (torch !== null) {
      const { positions } = await select()
      const file = path.join(work, 'positions.bin')
      writeFileSync(file, bytesOf(positions))
      const { equal } = await torch.ask({ run: 'check_select', positions: file, k })
      if (!equal) throw new Error(`the selection of ${k} entries differs from torch.topk's`)
      const part = Math.floor(elements / KTH_SHARE)
      const names = {
        topk: 'torch abs(a − b), topk',
        kthvalue: `torch abs(a − b), kthvalue, 1/${KTH_SHARE} of the entries, threshold only`,
        read: 'reading both arrays once (torch sums)',
      }
      alternatives[names.topk] = { run: () => torch.ask({ run: 'topk', k }) }
      alternatives[names.kthvalue] = {
        run: () => torch.ask({ run: 'kthvalue', elements: part, k: Math.floor(k / KTH_SHARE) }),
      }
      alternatives[names.read] = { run: () => torch.ask({ run: 'read' }) }
      equality = { [names.topk]: 'magnitudes bit-equal' }
      const [topk, read] = TARGETS[density]
      targets[names.topk] = `≥ ${topk}×`
      targets[names.read] = `≥ ${(1 / read).toFixed(2)}× (we: ≤ ${read} reads)`
    }
    const about = {
      job: `select ${density * 100} % of ${elements / 2 ** 20} Mi f32`,
      ours: 'taskfold',
      equality,
      targets,
    }
    rows.push(...rowsOf(about, await compare(alternatives, rounds)))
  }
  return rows
}
