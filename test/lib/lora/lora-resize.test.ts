import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { FloatDtype } from '../../../lib/binding/binding-types.js'
import { type LoraResizeOptions, loraResize } from '../../../lib/lora/lora-resize.js'
import { openAdapter } from '../../../lib/lora/open-adapter.js'
import { adapterProducts } from '../../helpers/adapter-products.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import {
  type TinyLayer,
  type TinyPeft,
  writeKohyaAdapter,
  writePeftAdapter,
} from '../../helpers/write-adapter.js'
import { frobenius, optimalError } from '../../reference/low-rank.js'
import { jacobiSvd } from '../../reference/svd.js'

const LAYERS: Record<string, TinyLayer> = {
  'model.layers.0.q_proj': { rows: 24, columns: 16, rank: 6 },
  'model.layers.0.up_proj': { rows: 12, columns: 30, rank: 6 },
  'model.embed': { kind: 'embedding', rows: 10, columns: 40, rank: 6 },
  'model.conv': { kind: 'conv2d', rows: 9, columns: 5, rank: 6 },
}

async function resized(t: ExecutionContext, adapter: Partial<TinyPeft>, options: Partial<LoraResizeOptions>) {
  const folder = tempFolder(t)
  const source = join(folder, 'source')
  const output = join(folder, 'resized')
  writePeftAdapter(source, { layers: LAYERS, files: { 'README.md': 'hello' }, ...adapter })
  const result = await loraResize({ adapter: source, output, sync: false, ...options })
  const [before, after] = await Promise.all([openAdapter(source), openAdapter(output)])
  return { result, before, after, output }
}

const SLACK: Partial<Record<FloatDtype, number>> = { F32: 1e-6, F16: 2e-3, BF16: 1.5e-2 }

for (const dtype of ['F32', 'F16', 'BF16'] as const) {
  for (const rank of [1, 3, 6, 64]) {
    test(`${dtype}, rank ${rank}: every layer is its best approximation, scale folded in`, async (t) => {
      const { result, before, after } = await resized(t, { dtype, config: { lora_alpha: 7 } }, { rank })
      const [wanted, found] = await Promise.all([adapterProducts(before), adapterProducts(after)])
      t.is(after.config?.lora_alpha, Math.min(rank, 6))
      for (const [i, layer] of after.layers.entries()) {
        const { module, rows, columns } = layer
        t.is(layer.scale, 1)
        t.is(layer.rank, Math.min(rank, 6))
        t.is(layer.a.dtype, dtype)
        const { s } = jacobiSvd(wanted.get(module)!, rows, columns)
        const error = frobenius(found.get(module)!, wanted.get(module)!)
        const best = optimalError(s, layer.rank)
        const norm = frobenius(wanted.get(module)!)
        t.true(error <= best * (1 + 1e-4) + SLACK[dtype]! * norm, `${module}: ${error} above ${best}`)
        const report = result.layers[i]!
        t.is(report.module, module)
        t.true(Math.abs(report.relativeError - best / norm) < 1e-6)
        t.true(Math.abs(report.singularValues[0]! / s[0]! - 1) < 1e-9)
        t.is(report.bytesAfter, layer.a.length + layer.b.length)
      }
      t.is(result.bytesAfter, after.checkpoint.totalBytes)
    })
  }
}

test('rank patterns, alpha patterns and rsLoRA come out with the scales that they had', async (t) => {
  const layers = { ...LAYERS, 'model.layers.1.q_proj': { rows: 8, columns: 8, rank: 3 } }
  const config = {
    use_rslora: true,
    rank_pattern: { 'layers.1.q_proj': 3 },
    alpha_pattern: { '.*up_proj': 40 },
  }
  const { before, after } = await resized(t, { layers, config }, { energy: 1 })
  const [wanted, found] = await Promise.all([adapterProducts(before), adapterProducts(after)])
  t.false(after.config?.use_rslora)
  for (const [module, product] of wanted) {
    t.true(frobenius(found.get(module)!, product) <= 1e-6 * frobenius(product), module)
  }
})

test('energy, cap and budget give layers ranks of their own, which are reopened right', async (t) => {
  for (const options of [
    { energy: 0.8 },
    { svRatio: 2 },
    { svFro: 0.9 },
    { svCumulative: 0.7, maxRank: 4 },
  ]) {
    const { result, before, after } = await resized(t, {}, options)
    t.is(result.rank, Math.max(...after.layers.map(({ rank }) => rank)))
    const [wanted, found] = await Promise.all([adapterProducts(before), adapterProducts(after)])
    for (const { module, relativeError } of result.layers) {
      const product = wanted.get(module)!
      const error = frobenius(found.get(module)!, product) / frobenius(product)
      t.true(Math.abs(error - relativeError) < 1e-5, `${module}: ${error} is not ${relativeError}`)
    }
  }
  const parameters = 400
  const { after } = await resized(t, {}, { budget: { parameters } })
  const used = after.layers.reduce((sum, { a, b }) => sum + a.elements + b.elements, 0)
  t.true(used <= parameters && used > parameters - 80, String(used))
})

test('saved modules, biases and other files are passed through', async (t) => {
  const rest = {
    'base_model.model.head.weight': { dtype: 'F32', shape: [2, 2], data: [1, 2, 3, 4] },
    'base_model.model.model.layers.0.q_proj.bias': { dtype: 'F32', shape: [2], data: [5, 6] },
  }
  const { result, before, after, output } = await resized(
    t,
    { rest, config: { modules_to_save: ['head'] } },
    { rank: 2 },
  )
  t.deepEqual(
    after.rest.map(({ name, length }) => [name, length]),
    before.rest.map(({ name, length }) => [name, length]),
  )
  const bytes = readFileSync(join(output, 'adapter_model.safetensors'))
  const { offset, length } = after.checkpoint.tensors.get('base_model.model.head.weight')!
  t.deepEqual(
    [...new Float32Array(bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + offset + length))],
    [1, 2, 3, 4],
  )
  t.is(readFileSync(join(output, 'README.md'), 'utf8'), 'hello')
  t.deepEqual(result.files, ['adapter_model.safetensors', 'adapter_config.json', 'README.md'])
  t.true(result.warnings.some(({ kind }) => kind === 'modules-to-save'))
})

test('a kohya file keeps its layout, its alphas follow and its hash is new', async (t) => {
  const folder = tempFolder(t)
  const source = join(folder, 'style.safetensors')
  const output = join(folder, 'resized')
  const metadata = {
    ss_network_dim: '6',
    ss_network_alpha: '3',
    sshs_model_hash: 'old',
    sshs_legacy_hash: 'old',
  }
  const layers = {
    lora_unet_to_q: { rows: 20, columns: 12, rank: 6 },
    lora_unet_conv: { kind: 'conv2d' as const, rows: 8, columns: 4, rank: 6 },
    lora_unet_proj: { kind: 'conv2d' as const, rows: 8, columns: 4, rank: 6, kernel: [1, 1] },
  }
  writeKohyaAdapter(source, { layers, alpha: 3, dtype: 'F16', metadata })
  const result = await loraResize({ adapter: source, output, rank: 4, sync: false })
  t.is(result.format, 'kohya')
  t.deepEqual(readdirSync(output), ['style.safetensors'])
  const file = join(output, 'style.safetensors')
  const [before, after] = await Promise.all([openAdapter(source), openAdapter(file)])
  const [wanted, found] = await Promise.all([adapterProducts(before), adapterProducts(after)])
  for (const { module, rows, columns, alpha, rank, scale } of after.layers) {
    t.deepEqual([alpha, rank, scale], [4, 4, 1])
    const product = wanted.get(module)!
    const best = optimalError(jacobiSvd(product, rows, columns).s, 4)
    t.true(frobenius(found.get(module)!, product) <= best * 1.0001 + 2e-3 * frobenius(product), module)
  }
  const bytes = readFileSync(file)
  const body = bytes.subarray(8 + Number(bytes.readBigUInt64LE()))
  t.is(after.metadata.sshs_model_hash, createHash('sha256').update(body).digest('hex'))
  t.is(after.metadata.sshs_legacy_hash, undefined)
  t.is(after.metadata.ss_network_dim, '4')
})

test('the same bytes for any number of threads', async (t) => {
  const digest = async (threads: number) => {
    const { output } = await resized(t, {}, { energy: 0.9, threads })
    return createHash('sha256')
      .update(readFileSync(join(output, 'adapter_model.safetensors')))
      .digest('hex')
  }
  const first = await digest(1)
  for (const threads of [2, 3, 7]) t.is(await digest(threads), first)
})

test('a dry run reports what would be written, and writes nothing', async (t) => {
  for (const options of [{ rank: 2 }, { energy: 0.8, dtype: 'bf16' as const }, { budget: { bytes: 3000 } }]) {
    const { result, output } = await resized(t, { files: {} }, options)
    const preview = await loraResize({
      adapter: join(output, '../source'),
      output: `${output}-dry`,
      dryRun: true,
      ...options,
    })
    t.true(preview.dryRun && !result.dryRun)
    const facts = ({ layers, bytesAfter, warnings }: typeof result) => [
      ...[bytesAfter, warnings],
      layers.map(({ module, rankAfter, bytesAfter: bytes }) => [module, rankAfter, bytes]),
    ]
    t.deepEqual(facts(preview), facts(result))
    t.true(Math.abs(preview.relativeError - result.relativeError) < 1e-9)
    t.false(existsSync(`${output}-dry`))
  }
})

test('faults leave nothing behind and name file and tensor', async (t) => {
  const folder = tempFolder(t)
  const source = join(folder, 'source')
  const output = join(folder, 'resized')
  const bad = { q: { rows: 2, columns: 2, rank: 1, b: [1, Number.NaN], a: [1, 2] } }
  writePeftAdapter(source, { layers: bad })
  const run = (options: Partial<LoraResizeOptions>) => loraResize({ adapter: source, output, ...options })
  const error = await t.throwsAsync(run({ rank: 1 }), { code: 'NON_FINITE' })
  t.regex(error!.message, /adapter_model\.safetensors/)
  t.false(existsSync(output))
  await t.throwsAsync(run({}), { code: 'INVALID_ARGUMENT' })
  await t.throwsAsync(run({ rank: 1, dtype: 'f64' as never }), { code: 'INVALID_ARGUMENT' })
  await t.throwsAsync(run({ rank: 1, output: source, force: true }), { code: 'INVALID_ARGUMENT' })
  await t.throwsAsync(run({ rank: 1, signal: AbortSignal.abort() }), { code: 'CANCELLED' })
  await t.throwsAsync(run({ rank: 1, adapter: join(folder, 'none') }), { code: 'NOT_FOUND' })
  t.deepEqual(readdirSync(folder), ['source'])
})

test('values beyond the range of F16 are an error that says what to do', async (t) => {
  const folder = tempFolder(t)
  const source = join(folder, 'source')
  writePeftAdapter(source, { layers: { q: { rows: 1, columns: 1, rank: 1, b: [1e6], a: [1e6] } } })
  const run = loraResize({ adapter: source, output: join(folder, 'out'), rank: 1, dtype: 'f16' })
  const error = await t.throwsAsync(run, { code: 'NON_FINITE' })
  t.regex(`${error!.message} ${(error as { hint?: string }).hint}`, /bf16|f32/i)
})
