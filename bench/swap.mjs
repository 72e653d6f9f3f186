// npm run bench:swap [-- --gib 1 --rounds 7 --threads 2 --work DIR]
// A model in memory that becomes another task's (family.load, switchTo) against making the same tensors anew. Build first.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { fold, openFamily } from '../dist/index.mjs'
import { interleaved, machine, printTable } from './measure.mjs'
import { makeFamily } from './synthetic-family.mjs'

const native = createRequire(import.meta.url)('../lib/native.cjs')
const { values } = parseArgs({
  options: {
    gib: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '7' },
    threads: { type: 'string', default: String(os.availableParallelism()) },
    work: { type: 'string', default: path.join(os.tmpdir(), 'taskfold-bench-swap') },
  },
})
const gib = Number(values.gib)
const rounds = Number(values.rounds)
const threads = Number(values.threads)

const bytesOf = ({ data }) => new Uint8Array(data.buffer, 0, data.byteLength)

/** Copies θ* from memory and writes the kept entries from the page cache, into memory that is there: what is hard to beat. */
function scatterInto(folder, task, merged, out) {
  const file = path.join(folder, 'tasks', task, 'delta.safetensors')
  const bytes = readFileSync(file)
  const start = 8 + Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, start))
  const stored = (name) => {
    const [from, to] = header[name].data_offsets
    return bytes.subarray(start + from, start + to)
  }
  const described = Object.entries(JSON.parse(header.__metadata__.taskfold).tensors)
  const tensors = described.map(([name, { kind, index, kept, stem = name }]) => {
    if (kind !== 'delta') throw new Error(`${name} is ${kind}`)
    const delta =
      kept === 0
        ? null
        : {
            ...{ kept, index },
            blocks: stored(`${stem}.blocks`),
            indexBytes: stored(`${stem}.index`),
            value: stored(`${stem}.value`),
          }
    const from = merged.get(name)
    return { name, elements: from.length / 2, dtype: 'BF16', merged: from, delta, out: out.get(name) }
  })
  return () => native.scatterTensors({ tensors }, { threads })
}

async function measure(model, modelBytes, density) {
  const output = path.join(values.work, `family-${modelBytes}-${density}`)
  rmSync(output, { recursive: true, force: true })
  await fold({ ...model, output, lambda: 0.3, density, index: 'u16', sync: false, threads })
  const family = await openFamily(output)
  const [first, second] = family.tasks
  const start = performance.now()
  const loaded = await family.load(first, { preload: [second], memory: 2 ** 40, threads })
  const loadMs = performance.now() - start
  const plain = await family.load(null, { threads })
  const merged = new Map([...plain.tensors].map(([name, tensor]) => [name, bytesOf(tensor)]))
  const out = new Map([...merged].map(([name, { length }]) => [name, new Uint8Array(length)]))
  const copies = [...merged].map(([name, from]) => ({ name, from, to: out.get(name) }))
  const scatter = scatterInto(output, second, merged, out)
  await scatter()
  await loaded.switchTo(second)
  for (const [name, tensor] of loaded.tensors) {
    if (Buffer.compare(bytesOf(tensor), out.get(name)) !== 0) throw new Error(`${name} differs`)
  }
  const times = await interleaved(
    {
      async switchTo() {
        await loaded.switchTo(loaded.task === first ? second : first, { threads })
      },
      async tensors() {
        const made = []
        for await (const tensor of family.tensors(second, { threads })) made.push(tensor)
      },
      scatter,
      copy: () => native.copyRegions({ copies }, { threads }),
    },
    rounds,
  )
  const kept = family.manifest.tasks.reduce((sum, task) => sum + task.kept, 0)
  await loaded.close()
  await plain.close()
  family.close()
  rmSync(output, { recursive: true, force: true })
  return { modelBytes, density, kept, loadMs, times }
}

const result = { machine: machine(), threads, rounds, rows: [] }
console.log(result.machine)
// The quarter-size model at four times the density keeps as many entries.
for (const [bytes, densities] of [
  [gib * 2 ** 30, [0.1, 0.01, 0.001]],
  [gib * 2 ** 28, [0.4, 0.04, 0.004]],
]) {
  const folder = path.join(values.work, `models-${bytes}`)
  const made = await makeFamily(folder, { bytes, tasks: 2 })
  const model = { base: made.base, tasks: made.tasks.map((at) => ({ name: path.basename(at), path: at })) }
  for (const density of densities) result.rows.push(await measure(model, made.modelBytes, density))
  rmSync(folder, { recursive: true, force: true })
}

const ms = ({ min, median, max }) => `${median.toFixed(1)} (${min.toFixed(1)}–${max.toFixed(1)})`
printTable(
  result.rows.map(({ modelBytes, density, kept, times }) => {
    const ratio = (name) => (times[name].median / times.switchTo.median).toFixed(1)
    return {
      'model, MiB': Math.round(modelBytes / 2 ** 20),
      density: `${density * 100} %`,
      'kept by both, M': (kept / 1e6).toFixed(2),
      'switchTo, ms': ms(times.switchTo),
      'family.tensors, ms': ms(times.tensors),
      'scatter in place, ms': ms(times.scatter),
      'memcpy of θ*, ms': ms(times.copy),
      'tensors ÷ switchTo': ratio('tensors'),
      'scatter ÷ switchTo': ratio('scatter'),
    }
  }),
)
const results = path.join(import.meta.dirname, 'results')
mkdirSync(results, { recursive: true })
const name = path.join(results, `${result.machine.date}-${os.arch()}-swap-${values.gib}gib.json`)
writeFileSync(name, `${JSON.stringify(result, null, 2)}\n`)
console.log(`written to ${path.relative(process.cwd(), name)}`)
