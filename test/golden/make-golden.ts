/**
 * Makes a golden family with the real fold: `npx tsx test/golden/make-golden.ts [FOLDER]`, by default `v1` beside this
 * file. Run once per format version; what a release has written is never written anew, because the point of a golden
 * family is that later releases still read it.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Dtype } from '../../lib/checkpoint/checkpoint-types.js'
import { writeCheckpoint } from '../../lib/checkpoint/write-checkpoint.js'
import { fold } from '../../lib/fold/fold.js'
import { openFamily } from '../../lib/materialize/open-family.js'
import { seededRandom } from '../helpers/random.js'

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

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await makeGolden(resolve(process.argv[2] ?? fileURLToPath(new URL('v1', import.meta.url))))
}
