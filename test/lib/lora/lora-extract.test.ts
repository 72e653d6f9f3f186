import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { LoraExtractOptions } from '../../../lib/lora/extract-options.js'
import { loraExtract } from '../../../lib/lora/lora-extract.js'
import { openAdapter } from '../../../lib/lora/open-adapter.js'
import { adapterProducts } from '../../helpers/adapter-products.js'
import { seededRandom } from '../../helpers/random.js'
import { randomFloats } from '../../helpers/random-floats.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import type { TinyTensor } from '../../helpers/tiny-checkpoint.js'
import { writeModel } from '../../helpers/write-model.js'
import { decodeFloats } from '../../reference/float-convert.js'
import { frobenius, optimalError } from '../../reference/low-rank.js'
import { jacobiSvd, transpose } from '../../reference/svd.js'

const SHAPES: Record<string, number[]> = {
  'model.embed_tokens.weight': [40, 16],
  'model.layers.0.q_proj.weight': [24, 16],
  'model.layers.0.up_proj.weight': [12, 40],
  'model.layers.1.q_proj.weight': [24, 16],
  'model.norm.weight': [16],
  'model.patch.weight': [10, 3, 2, 2],
  'lm_head.weight': [40, 16],
}

type Dtype = 'F32' | 'BF16' | 'F16'
interface Pair {
  base: string
  tuned: string
  /** θt − θ0 by tensor, in f32 as stored. */
  difference: Map<string, Float32Array>
}

/** Two models; tensors of `equal` are the same in both. */
function writePair(folder: string, dtype: Dtype, equal: readonly string[] = [], files = {}): Pair {
  const random = seededRandom(7)
  const base: Record<string, TinyTensor> = {}
  const tuned: Record<string, TinyTensor> = {}
  const difference = new Map<string, Float32Array>()
  for (const [name, shape] of Object.entries(SHAPES)) {
    const count = shape.reduce((product, extent) => product * extent, 1)
    const one = randomFloats(random, dtype, count, 'normal')
    const two = equal.includes(name) ? one : randomFloats(random, dtype, count, 'normal')
    base[name] = { dtype, shape, data: one }
    tuned[name] = { dtype, shape, data: two }
    const [x, y] = [decodeFloats(dtype, one), decodeFloats(dtype, two)]
    difference.set(
      name,
      y.map((value, i) => Math.fround(value - x[i]!)),
    )
  }
  tuned['score.weight'] = { dtype, shape: [2, 16], data: randomFloats(random, dtype, 32, 'normal') }
  return {
    base: writeModel(join(folder, 'base'), { tensors: base, files }),
    tuned: writeModel(join(folder, 'tuned'), { tensors: tuned, files }),
    difference,
  }
}

async function extract(
  t: ExecutionContext,
  dtype: Dtype,
  options: Partial<LoraExtractOptions>,
  equal: string[] = [],
  files = {},
) {
  const folder = tempFolder(t)
  const pair = writePair(folder, dtype, equal, files)
  const output = join(folder, 'adapter')
  const result = await loraExtract({
    base: pair.base,
    finetuned: pair.tuned,
    output,
    sync: false,
    ...options,
  })
  return { pair, result, output, adapter: await openAdapter(output) }
}

for (const dtype of ['F32', 'BF16', 'F16'] as const) {
  test(`${dtype}: every layer is nearly its best approximation, embeddings and convolutions too`, async (t) => {
    const options = { rank: 5, embeddings: true, heads: true, conv: true, dtype: 'f32' as const }
    const { pair, result, adapter } = await extract(t, dtype, options)
    t.is(adapter.layers.length, 6)
    const found = await adapterProducts(adapter)
    for (const { module, kind, rows, columns, rank } of adapter.layers) {
      t.is(rank, 5)
      const stored = pair.difference.get(`${module}.weight`)!
      const wanted = kind === 'embedding' ? transpose(stored, columns, rows) : stored
      const best = optimalError(jacobiSvd(wanted, rows, columns).s, rank)
      const error = frobenius(found.get(module)!, wanted)
      t.true(error <= 1.02 * best, `${module}: ${error} above 1.02 × ${best}`)
      const report = result.layers.find((layer) => layer.module === module)!
      t.true(Math.abs(report.relativeError - error / frobenius(wanted)) < 1e-5)
    }
  })
}

test('the configuration is one that PEFT finds the layers with', async (t) => {
  const { result, adapter } = await extract(t, 'F32', { rank: 4 })
  const { config } = adapter
  t.deepEqual(config?.target_modules, ['q_proj', 'up_proj'])
  t.deepEqual([config?.r, config?.lora_alpha, config?.use_rslora], [4, 4, false])
  t.deepEqual(config?.modules_to_save, ['score'])
  t.deepEqual(result.saved, ['score.weight'])
  t.deepEqual(
    result.leftOut.map(({ name }) => name),
    ['lm_head.weight', 'model.embed_tokens.weight', 'model.norm.weight', 'model.patch.weight'],
  )
  t.true(result.capturedEnergy < result.retainedEnergy)
})

test('energy keeps as few components as reach it, above the first sketch too', async (t) => {
  const { pair, result } = await extract(t, 'F32', { energy: 0.9, powerIters: 4 })
  for (const { module, rows, columns, rank } of result.layers) {
    const { s } = jacobiSvd(pair.difference.get(`${module}.weight`)!, rows, columns)
    const total = optimalError(s, 0) ** 2
    t.true(1 - optimalError(s, rank) ** 2 / total >= 0.9 - 1e-6)
    t.true(1 - optimalError(s, rank - 2) ** 2 / total < 0.9, `${module}: ${rank} are more than needed`)
  }
  const capped = await extract(t, 'F32', { energy: 0.999, maxRank: 3 })
  t.deepEqual([...new Set(capped.result.layers.map(({ rank }) => rank))], [3])
})

test('unchanged modules get no layer; models without a difference are refused', async (t) => {
  const { result, adapter } = await extract(t, 'F32', { rank: 2 }, [
    'model.layers.1.q_proj.weight',
    'model.norm.weight',
  ])
  t.deepEqual(result.unchanged, ['model.layers.1.q_proj'])
  t.deepEqual(adapter.config?.target_modules, ['model.layers.0.q_proj', 'up_proj'])
  t.false(result.leftOut.some(({ name }) => name === 'model.norm.weight'))
  await t.throwsAsync(extract(t, 'F32', { rank: 2 }, Object.keys(SHAPES)), { code: 'NOTHING_TO_MERGE' })
})

test('a rank above a matrix is cut to it, and the result is exact', async (t) => {
  const { pair, adapter, result } = await extract(t, 'F32', { rank: 64, include: 'up_proj' })
  const found = await adapterProducts(adapter)
  const wanted = pair.difference.get('model.layers.0.up_proj.weight')!
  t.is(result.rank, 12)
  t.true(frobenius(found.get('model.layers.0.up_proj')!, wanted) < 1e-5 * frobenius(wanted))
})

test('Conv1D weights come out as PEFT wants them', async (t) => {
  const folder = tempFolder(t)
  const files = { 'config.json': '{"model_type":"gpt2"}' }
  const random = seededRandom(3)
  const model = () => ({
    'h.0.attn.c_attn.weight': {
      dtype: 'F32',
      shape: [8, 24],
      data: randomFloats(random, 'F32', 192, 'normal'),
    },
  })
  const [one, two] = [model(), model()]
  const base = writeModel(join(folder, 'base'), { tensors: one, files })
  const finetuned = writeModel(join(folder, 'tuned'), { tensors: two, files })
  const output = join(folder, 'adapter')
  await loraExtract({ base, finetuned, output, rank: 8, sync: false })
  const adapter = await openAdapter(output)
  t.true(adapter.config?.fan_in_fan_out)
  const [layer] = adapter.layers
  t.deepEqual([layer!.rows, layer!.columns], [24, 8])
  const [x, y] = [one, two].map((tensors) => decodeFloats('F32', tensors['h.0.attn.c_attn.weight'].data))
  const wanted = transpose(
    y!.map((value, i) => value - x![i]!),
    8,
    24,
  )
  const found = await adapterProducts(adapter)
  t.true(frobenius(found.get('h.0.attn.c_attn')!, wanted) < 1e-5 * frobenius(wanted))
})

test('the same bytes for the same seed and any number of threads, others for another seed', async (t) => {
  const folder = tempFolder(t)
  const { base, tuned: finetuned } = writePair(folder, 'F32')
  const digest = async (threads: number, seed: number) => {
    const output = join(folder, `a-${threads}-${seed}`)
    await loraExtract({ base, finetuned, output, rank: 3, powerIters: 0, threads, seed, sync: false })
    return createHash('sha256')
      .update(readFileSync(join(output, 'adapter_model.safetensors')))
      .digest('hex')
  }
  const first = await digest(1, 0)
  for (const threads of [2, 3, 7]) t.is(await digest(threads, 0), first)
  t.not(await digest(1, 1), first)
})

test('wrong options and cancellation leave nothing behind', async (t) => {
  const folder = tempFolder(t)
  const { base, tuned: finetuned } = writePair(folder, 'F32')
  mkdirSync(join(folder, 'out'))
  const output = join(folder, 'out', 'adapter')
  const run = (options: Partial<LoraExtractOptions>) => loraExtract({ base, finetuned, output, ...options })
  for (const options of [
    {},
    { rank: 2, energy: 0.5 },
    { rank: 0 },
    { energy: 2 },
    { rank: 2, include: '(' },
    { rank: 2, seed: -1 },
    { rank: 2, powerIters: 1000 },
    { rank: 2, oversample: 0.5 },
    { rank: 2, base: '' },
  ]) {
    await t.throwsAsync(run(options), { code: 'INVALID_ARGUMENT' }, JSON.stringify(options))
  }
  await t.throwsAsync(run({ rank: 2, signal: AbortSignal.abort() }), { code: 'CANCELLED' })
  const stop = new AbortController()
  const late = run({ rank: 2, signal: stop.signal, onProgress: () => stop.abort() })
  await t.throwsAsync(late, { code: 'CANCELLED' })
  t.false(existsSync(output))
  t.deepEqual(readdirSync(join(folder, 'out')), [])
})
