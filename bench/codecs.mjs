// Codec step in memory: size against the entropy of its codes, and GB/s of dense output of decoding beside a memcpy of the
// same output. `node bench/codecs.mjs [elements] [rounds]`
import { readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { interleaved, machine, printTable } from './measure.mjs'

const native = createRequire(import.meta.url)('../lib/native.cjs')
const elements = Number(process.argv[2] ?? 2 ** 24)
const rounds = Number(process.argv[3] ?? 5)
const BITS = [0.1, 0.25, 0.5, 1, 2]

let seed = 1
const uniform = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) | 0
  return ((seed >>> 8) + 0.5) / 16777216
}
const SOURCES = {
  gaussian: () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  laplace: () => Math.log(uniform()) * (uniform() < 0.5 ? Math.SQRT1_2 : -Math.SQRT1_2),
}

const narrow = (values, dtype) => {
  if (dtype === 'F32') return new Uint8Array(values.buffer)
  const bits = new Uint32Array(values.buffer)
  return new Uint8Array(Uint16Array.from(bits, (x) => (x + 0x7fff + ((x >>> 16) & 1)) >>> 16).buffer)
}

const file = native.openFile(path.join(os.tmpdir(), `taskfold-codecs-${process.pid}.bin`), 'w')

/** Codes tensors `{ shape, merged, task }`; the codes are in `file`. */
async function encode(models, step, control = {}) {
  const shapes = models.map(({ shape }) => shape)
  const tensors = models.map(({ shape, merged, task }) => ({
    ...shape,
    merged,
    task: { region: task, dtype: shape.dtype },
  }))
  const encoder = new native.StepEncoder({ step, deadZone: 0.65, tensors: shapes, out: file, offset: 0 })
  const times = { count: 0, encode: 0 }
  const timed = async (name, run) => {
    const start = process.hrtime.bigint()
    await run()
    times[name] = Number(process.hrtime.bigint() - start) / 1e6
  }
  await timed('count', () => native.countStep({ encoder, tensors }, control))
  encoder.prepare()
  await timed('encode', () => native.encodeStep({ encoder, tensors }, control))
  const result = await encoder.finish()
  const bytes = result.tables.length + result.directory.length + result.codesBytes
  return { ...result, bytes, times }
}

/** The step at which the stream takes `bits` an element, by bisection. */
async function findStep(models, bits) {
  const total = models.reduce((sum, { shape }) => sum + shape.rows * shape.columns, 0)
  let [low, high] = [1e-4, 1]
  for (let i = 0; i < 14; i++) {
    const step = Math.fround(Math.sqrt(low * high))
    const { bytes } = await encode(models, step)
    if ((bytes * 8) / total > bits) low = step
    else high = step
  }
  return Math.fround(high)
}

/** Least milliseconds of processor time of a run. */
async function cpuTime(run) {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage()
    await run()
    const { user, system } = process.cpuUsage(before)
    least = Math.min(least, (user + system) / 1000)
  }
  return least
}

/** A row of the table of sizes. */
function sizeRow(residual, coded, count) {
  return {
    residual,
    'bits/parameter': ((coded.bytes * 8) / count).toFixed(3),
    nonzero: `${((100 * coded.kept) / count).toFixed(2)} %`,
    '× entropy': ((coded.bytes * 8) / coded.entropyBits).toFixed(4),
    'codes, directory, tables': [coded.codesBytes, coded.directory.length, coded.tables.length].join(' + '),
    'kept energy': (1 - coded.errorSquared / coded.residualSquared).toFixed(3),
  }
}

/** The example family, folded with the average of its tasks: remainders of every task. */
async function familyModels(folder) {
  const read = (name) => {
    const bytes = new Uint8Array(readFileSync(path.join(folder, name, 'model.safetensors')))
    const length = Number(Buffer.from(bytes.buffer).readBigUInt64LE(0))
    const header = JSON.parse(Buffer.from(bytes.buffer, 8, length).toString())
    delete header.__metadata__
    const tensors = Object.entries(header).map(
      ([
        key,
        {
          dtype,
          shape,
          data_offsets: [start, end],
        },
      ]) => [key, { dtype, shape, bytes: bytes.slice(8 + length + start, 8 + length + end) }],
    )
    return new Map(tensors)
  }
  const { tasks } = JSON.parse(readFileSync(path.join(folder, 'family.json'), 'utf8'))
  const base = read('base')
  const tuned = tasks.map((task) => read(path.join('tasks', task)))
  const models = tasks.map(() => [])
  for (const [name, { dtype, shape, bytes }] of [...base].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const all = tuned.map((model) => model.get(name))
    if (all.some((tensor) => tensor === undefined || String(tensor.shape) !== String(shape))) continue
    const count = shape.reduce((product, n) => product * n, 1)
    const merged = new Uint8Array(bytes.length)
    const operand = (tensor) => ({ region: tensor.bytes, dtype: tensor.dtype })
    const tensor = { name, elements: count, dtype, base: operand({ bytes, dtype }), tasks: all.map(operand) }
    const lambda = Math.fround(1 / tasks.length)
    await native.mergeTensors({ tensors: [{ ...tensor, out: merged }], lambda, selection: null }, {})
    const coded = { name, dtype, rows: 1, columns: count }
    for (const [i, { bytes: task }] of all.entries()) models[i].push({ shape: coded, merged, task })
  }
  return tasks.map((task, i) => ({ task, models: models[i] }))
}

const sizes = []
const speeds = []
for (const dtype of ['BF16', 'F32']) {
  const shape = { name: 'w', dtype, rows: 1, columns: elements }
  for (const [source, draw] of Object.entries(SOURCES)) {
    const base = Float32Array.from({ length: elements }, () => 0.05 * (uniform() - 0.5))
    const task = narrow(
      base.map((x) => x + 0.01 * draw()),
      dtype,
    )
    const merged = narrow(base, dtype)
    const out = new Uint8Array(merged.length)
    for (const bits of BITS) {
      const length = Math.min(elements, 2 ** 20)
      const part = { ...shape, columns: length }
      const bytes = length * (dtype === 'F32' ? 4 : 2)
      const sample = [{ shape: part, merged: merged.subarray(0, bytes), task: task.subarray(0, bytes) }]
      const step = await findStep(sample, bits)
      for (const threads of [1, 2]) {
        const coded = await encode([{ shape, merged, task }], step, { threads })
        if (threads === 1) sizes.push(sizeRow(`${source}, ${dtype}`, coded, elements))
        if (source !== 'laplace') continue
        const open = {
          codec: 'step',
          step,
          tensors: [shape],
          tables: coded.tables,
          directory: coded.directory,
        }
        const codes = { file, offset: 0, length: coded.codesBytes }
        const stream = await native.openCodedTask({ ...open, codes }, {})
        const scatter = { name: 'w', elements, dtype, merged, delta: { coded: stream, tensor: 0 }, out }
        const decode = () => native.scatterTensors({ tensors: [scatter] }, { threads })
        const memcpy = () =>
          native.copyRegions({ copies: [{ name: 'w', from: merged, to: out }] }, { threads })
        const times = await interleaved({ memcpy, decode }, rounds)
        // A busy machine stretches the clock; the time on a processor shows what a core does.
        const cpu = { memcpy: await cpuTime(memcpy), decode: await cpuTime(decode) }
        stream.close()
        const rate = (ms) => (merged.length / ms / 1e6).toFixed(2)
        speeds.push({
          decode: `${dtype}, ${bits} bits, ${threads} threads`,
          'GB/s out': rate(times.decode.min),
          'memcpy GB/s': rate(times.memcpy.min),
          '× memcpy': (times.decode.min / times.memcpy.min).toFixed(2),
          'GB/s of a core': rate(cpu.decode),
          'memcpy of a core': rate(cpu.memcpy),
          'ns/nonzero': (((cpu.decode - cpu.memcpy) * 1e6) / coded.kept).toFixed(1),
          'count GB/s in': rate(coded.times.count / 2),
          'encode GB/s in': rate(coded.times.encode / 2),
        })
      }
    }
  }
}
for (const { task, models } of await familyModels(path.join(import.meta.dirname, '../examples/family'))) {
  const count = models.reduce((sum, { shape }) => sum + shape.columns, 0)
  for (const bits of BITS) {
    const coded = await encode(models, await findStep(models, bits))
    sizes.push(sizeRow(`family, ${task}, ${count} elements`, coded, count))
  }
}
file.close()
rmSync(file.path)
console.log(JSON.stringify({ ...machine(), elements, rounds }))
printTable(sizes)
console.log()
printTable(speeds)
