/**
 * Makes golden families with the real fold: `npx tsx test/golden/make-golden.ts [v1 | v1-lora | v1-sparse]`, in a folder of that name
 * beside this file. Run once per format version; what a release has written is never written anew, because the point of
 * a golden family is that later releases still read it.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { FloatDtype } from '../../lib/binding/binding-types.js'
import type { Dtype } from '../../lib/checkpoint/checkpoint-types.js'
import { writeCheckpoint } from '../../lib/checkpoint/write-checkpoint.js'
import { fold } from '../../lib/fold/fold.js'
import { openFamily } from '../../lib/materialize/open-family.js'
import { type Random, seededRandom } from '../helpers/random.js'
import type { TinyTensor } from '../helpers/tiny-checkpoint.js'
import { type TinyLayer, writePeftAdapter } from '../helpers/write-adapter.js'
import { writeModel } from '../helpers/write-model.js'

/** Tensors of one task: name to dtype, shape and content hash. */
export type GoldenRows = Record<string, { dtype: string; shape: number[]; sha256: string }>

/** Unfolds every task of a family in memory and hashes what comes out. */
export async function goldenRows(family: string): Promise<Record<string, GoldenRows>> {
  const opened = await openFamily(family)
  const result: Record<string, GoldenRows> = {}
  for (const task of opened.tasks) {
    const rows: GoldenRows = {}
    for await (const { name, dtype, shape, data } of opened.tensors(task)) {
      rows[name] = { dtype, shape, sha256: createHash('sha256').update(data).digest('hex') }
    }
    result[task] = rows
  }
  opened.close()
  return result
}

type Tensor = { name: string; dtype: Dtype; shape: number[]; data: Uint8Array }

/** Few bits of mantissa in common to all dtypes: the high bytes of an f32 make a bf16, an f16 needs its own. */
function encode(dtype: Dtype, values: Float64Array): Uint8Array {
  const f32 = Float32Array.from(values)
  if (dtype === 'F32') return new Uint8Array(f32.buffer)
  if (dtype === 'BF16')
    return new Uint8Array(Uint16Array.from(new Uint32Array(f32.buffer), (bits) => bits >>> 16).buffer)
  const [exponentBits, mantissaBits] = dtype === 'F16' ? [5, 10] : dtype === 'F8_E5M2' ? [5, 2] : [4, 3]
  const bias = 2 ** (exponentBits! - 1) - 1
  const codes = Array.from(f32, (value) => {
    const size = Math.max(Math.abs(value), 2 ** (1 - bias))
    const exponent = Math.floor(Math.log2(size))
    const mantissa = Math.floor((size / 2 ** exponent - 1) * 2 ** mantissaBits!)
    const sign = value < 0 ? 1 << (exponentBits! + mantissaBits!) : 0
    return sign | ((exponent + bias) << mantissaBits!) | mantissa
  })
  return dtype === 'F16' ? new Uint8Array(Uint16Array.from(codes).buffer) : Uint8Array.from(codes)
}

/** Floating tensors of the family, and which share of their entries a task moves: few give u16, many a bitmap. */
const floats: [name: string, dtype: Dtype, shape: number[], share: number][] = [
  ['embed.weight', 'BF16', [24, 8], 0.03],
  ['layer.bias', 'F32', [33], 1],
  ['layer.half', 'F16', [5, 21], 0.03],
  ['layer.norm', 'F32', [], 1],
  ['layer.small', 'F8_E4M3', [65], 0.5],
  ['layer.tiny', 'F8_E5M2', [40], 0.5],
  ['layer.weight', 'BF16', [40, 30], 0.03],
  ['layer.zero', 'F32', [0, 7], 1],
]

function model(seed: number): Tensor[] {
  const tensors: Tensor[] = []
  for (const [i, [name, dtype, shape, share]] of floats.entries()) {
    const elements = shape.reduce((product, extent) => product * extent, 1)
    const base = seededRandom(i + 1)
    const task = seededRandom(seed * 1000 + i)
    const grown = name === 'embed.weight' && seed === 2 ? 2 * 8 : 0
    const values = Float64Array.from({ length: elements + grown }, () => base.normal())
    if (seed > 0) {
      for (let j = 0; j < values.length; j++)
        if (task.chance(share)) values[j]! += 1 + Math.abs(task.normal())
    }
    const extents = grown > 0 ? [26, 8] : shape
    tensors.push({ name, dtype, shape: extents, data: encode(dtype, values) })
  }
  const embed = tensors[0]!
  tensors.push({ ...embed, name: 'lm_head.weight' })
  tensors.push({ name: 'positions', dtype: 'I64', shape: [4], data: new Uint8Array(32).fill(1) })
  tensors.push({ name: 'counter', dtype: 'U8', shape: [3], data: new Uint8Array([seed, 1, 2]) })
  if (seed > 0)
    tensors.push({
      name: 'head.weight',
      dtype: 'F16',
      shape: [seed, 3],
      data: new Uint8Array(seed * 6).fill(seed),
    })
  return tensors
}

async function makeGolden(folder: string): Promise<void> {
  if (existsSync(folder)) throw new Error(`${folder} exists: golden families are never written anew`)
  const work = mkdtempSync(join(tmpdir(), 'taskfold-golden-'))
  try {
    for (const [seed, name] of ['base', 'first', 'second'].entries()) {
      await writeCheckpoint(join(work, name), model(seed), { metadata: { format: 'pt' } })
      const config = { architectures: ['Golden'], tie_word_embeddings: true, num_labels: seed }
      writeFileSync(join(work, name, 'config.json'), JSON.stringify(config))
      writeFileSync(join(work, name, 'tokenizer.json'), '{}')
    }
    mkdirSync(folder, { recursive: true })
    await fold({
      base: join(work, 'base'),
      tasks: { first: join(work, 'first'), second: join(work, 'second') },
      output: join(folder, 'family'),
      density: 0.1,
      rows: 'prefix',
    })
    const rows = await goldenRows(join(folder, 'family'))
    writeFileSync(join(folder, 'expected.json'), `${JSON.stringify(rows, null, 2)}\n`)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Families of v1-sparse and how each is folded: together all index and value codes that v1 lacks. */
const SPARSE = {
  coded: { density: 0.1, index: 'rice', values: 'coded' },
  whole: { density: 1, values: 'coded' },
  sign: { codec: 'sign', density: 0.2 },
  int4: { codec: 'int4', density: 0.3 },
} as const

async function makeGoldenSparse(folder: string): Promise<void> {
  if (existsSync(folder)) throw new Error(`${folder} exists: golden families are never written anew`)
  const work = mkdtempSync(join(tmpdir(), 'taskfold-golden-'))
  try {
    for (const [seed, name] of ['base', 'first', 'second'].entries()) {
      await writeCheckpoint(join(work, name), model(seed), { metadata: { format: 'pt' } })
    }
    mkdirSync(folder, { recursive: true })
    const rows: Record<string, unknown> = {}
    const tasks = { first: join(work, 'first'), second: join(work, 'second') }
    for (const [name, options] of Object.entries(SPARSE)) {
      const output = join(folder, name)
      await fold({ base: join(work, 'base'), tasks, output, rows: 'prefix', ...options })
      rows[name] = await goldenRows(output)
    }
    writeFileSync(join(folder, 'expected.json'), `${JSON.stringify(rows, null, 2)}\n`)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Whole numbers, small enough that products and sums of them are exact in every dtype: the same bits on every machine. */
function whole(random: Random, dtype: FloatDtype, shape: number[]): TinyTensor {
  const elements = shape.reduce((product, extent) => product * extent, 1)
  const values = Float64Array.from({ length: elements }, () => random.below(4) + 1)
  return { dtype, shape, data: encode(dtype, values) }
}

function loraModel(seed: number): Record<string, TinyTensor> {
  const random = seededRandom(seed)
  return {
    'conv.weight': whole(random, 'F16', [4, 2, 3, 3]),
    'embed.weight': whole(random, 'F32', [9, 5]),
    'head.weight': whole(random, 'F32', [2, 5]),
    'layer.bias': whole(random, 'F32', [6]),
    'layer.square.weight': whole(random, 'BF16', [5, 5]),
    'layer.turned.weight': whole(random, 'BF16', [5, 6]),
    'layer.weight': whole(random, 'BF16', [6, 5]),
    positions: { dtype: 'I64', shape: [4], data: new Uint8Array(32).fill(seed) },
  }
}

/** Factors of whole numbers, in a dtype of their own. */
function loraLayer(random: Random, layer: Pick<TinyLayer, 'kind' | 'rows' | 'columns' | 'rank'>): TinyLayer {
  const { kind, rows, columns, rank } = layer
  const numbers = (count: number) => Array.from({ length: count }, () => random.below(3) - 1)
  return { ...layer, a: numbers(rank * columns * (kind === 'conv2d' ? 9 : 1)), b: numbers(rows * rank) }
}

async function makeGoldenLora(folder: string): Promise<void> {
  if (existsSync(folder)) throw new Error(`${folder} exists: golden families are never written anew`)
  const work = mkdtempSync(join(tmpdir(), 'taskfold-golden-'))
  try {
    const files = { 'config.json': '{"architectures":["Golden"]}', 'tokenizer.json': '{}' }
    const base = writeModel(join(work, 'base'), { tensors: loraModel(1), metadata: { format: 'pt' }, files })
    const full = writeModel(join(work, 'full'), { tensors: loraModel(2), metadata: { format: 'pt' }, files })
    const random = seededRandom(3)
    // Conv, table, linear, a bias, a head with another shape; ranks by pattern.
    writePeftAdapter(join(work, 'own'), {
      layers: {
        layer: loraLayer(random, { rows: 6, columns: 5, rank: 2 }),
        embed: loraLayer(random, { kind: 'embedding', rows: 5, columns: 9, rank: 1 }),
        conv: loraLayer(random, { kind: 'conv2d', rows: 4, columns: 2, rank: 2 }),
      },
      config: { r: 2, lora_alpha: 4, rank_pattern: { embed: 1 }, bias: 'all', modules_to_save: ['head'] },
      rest: {
        'base_model.model.head.weight': whole(random, 'F32', [3, 5]),
        'base_model.model.layer.base_layer.bias': whole(random, 'F32', [6]),
      },
      files: { 'README.md': 'golden' },
    })
    // Conv1D and rsLoRA: α/√4 = 2.
    writePeftAdapter(join(work, 'turned'), {
      layers: {
        'layer.square': loraLayer(random, { rows: 5, columns: 5, rank: 4 }),
        'layer.turned': loraLayer(random, { rows: 6, columns: 5, rank: 4 }),
      },
      config: { r: 4, lora_alpha: 4, use_rslora: true, fan_in_fan_out: true },
    })
    mkdirSync(folder, { recursive: true })
    const adapters = { own: join(work, 'own'), turned: join(work, 'turned') }
    const family = join(folder, 'family')
    await fold({ base, tasks: { ...adapters, full }, output: family, copyBase: true })
    await fold({ base: join(family, 'base'), tasks: adapters, output: join(folder, 'referred') })
    const rows = { family: await goldenRows(family), referred: await goldenRows(join(folder, 'referred')) }
    writeFileSync(join(folder, 'expected.json'), `${JSON.stringify(rows, null, 2)}\n`)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

const MAKERS: Record<string, (folder: string) => Promise<void>> = {
  v1: makeGolden,
  'v1-lora': makeGoldenLora,
  'v1-sparse': makeGoldenSparse,
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const name = process.argv[2] ?? 'v1'
  await MAKERS[name]!(fileURLToPath(new URL(name, import.meta.url)))
}
