import { join, resolve } from 'node:path'
import test from 'ava'
import type { AdapterOutput } from '../../../lib/lora/adapter-types.js'
import { openAdapter } from '../../../lib/lora/open-adapter.js'
import { describeResized } from '../../../lib/lora/resized-adapter.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { writeKohyaAdapter, writePeftAdapter } from '../../helpers/write-adapter.js'

const linear = { rows: 6, columns: 5, rank: 4 }
const one = { dtype: 'F16', shape: [1], data: [0x3c00] }

const shapes = ({ tensors }: AdapterOutput) =>
  tensors.map(({ name, dtype, shape, from }) => [name, dtype, shape.join('×'), from].join(' '))

test('PEFT, one rank: shapes, configuration, nothing else changed', async (t) => {
  const folder = tempFolder(t)
  writePeftAdapter(folder, {
    layers: {
      'm.conv': { ...linear, kind: 'conv2d' },
      'm.emb': { ...linear, kind: 'embedding' },
      'm.q': { ...linear, dtype: 'BF16' },
    },
    adapterName: 'default',
    rest: { 'base_model.model.head.weight': one },
    config: {
      use_rslora: true,
      init_lora_weights: 'eva',
      eva_config: { rho: 2 },
      rank_pattern: { q: 4 },
      extra: [1],
    },
    metadata: { note: 'mine' },
  })
  const adapter = await openAdapter(folder)
  const output = describeResized(adapter, new Map(adapter.layers.map(({ module }) => [module, 2])))
  t.is(output.fileName, 'adapter_model.safetensors')
  t.deepEqual(shapes(output), [
    'base_model.model.m.conv.lora_A.weight F32 2×5×3×3 a',
    'base_model.model.m.conv.lora_B.weight F32 6×2×1×1 b',
    'base_model.model.m.emb.lora_embedding_A F32 2×5 a',
    'base_model.model.m.emb.lora_embedding_B F32 6×2 b',
    'base_model.model.m.q.lora_A.weight BF16 2×5 a',
    'base_model.model.m.q.lora_B.weight BF16 6×2 b',
    'base_model.model.head.weight F16 1 copy',
  ])
  t.deepEqual(JSON.parse(output.config!), {
    ...adapter.config,
    ...{
      r: 2,
      lora_alpha: 2,
      use_rslora: false,
      rank_pattern: {},
      alpha_pattern: {},
      init_lora_weights: true,
    },
  })
  t.deepEqual(Object.keys(JSON.parse(output.config!)), Object.keys(adapter.config!))
  t.deepEqual(output.metadata, { note: 'mine', format: 'pt' })
  t.deepEqual(output.warnings, [])
})

test('PEFT: another dtype is that of the factors only', async (t) => {
  const folder = tempFolder(t)
  writePeftAdapter(folder, { layers: { q: linear }, rest: { 'base_model.model.head.weight': one } })
  const output = describeResized(await openAdapter(folder), new Map([['q', 1]]), { dtype: 'BF16' })
  t.deepEqual(shapes(output), [
    'base_model.model.q.lora_A.weight BF16 1×5 a',
    'base_model.model.q.lora_B.weight BF16 6×1 b',
    'base_model.model.head.weight F16 1 copy',
  ])
})

test('PEFT: what users may stumble over', async (t) => {
  const folder = tempFolder(t)
  writePeftAdapter(folder, {
    layers: { a: { ...linear, rank: 40 }, b: { ...linear, rank: 40 } },
    config: { modules_to_save: ['head', 'x', 'y', 'z'], bias: 'lora_only', ensure_weight_tying: true },
  })
  const { config, warnings } = describeResized(
    await openAdapter(folder),
    new Map([
      ['a', 20],
      ['b', 17],
    ]),
  )
  t.like(JSON.parse(config!), { r: 20, lora_alpha: 20, rank_pattern: { b: 17 }, alpha_pattern: { b: 17 } })
  t.deepEqual(
    warnings.map(({ kind }) => kind),
    ['modules-to-save', 'vllm', 'rank-pattern', 'vllm', 'tied'],
  )
  t.regex(warnings[0]!.message, /head, x, y, …/)
  t.regex(warnings[3]!.message, /--max-lora-rank 20/)
  for (const { message } of warnings) t.regex(message, /^[^.]*\.$|;/)
})

test('PEFT: an adapter relative to a changed base is refused', async (t) => {
  const folder = tempFolder(t)
  writePeftAdapter(folder, { layers: { a: linear }, config: { init_lora_weights: 'pissa' } })
  const adapter = await openAdapter(folder)
  t.throws(() => describeResized(adapter, new Map([['a', 2]])), {
    code: 'ADAPTER_UNSUPPORTED',
    message: /pissa/,
  })
})

test('kohya: names as read, alpha is the rank in its dtype, metadata up to date', async (t) => {
  const file = join(tempFolder(t), 'style.safetensors')
  writeKohyaAdapter(file, {
    layers: {
      lora_unet_a: { ...linear, dtype: 'F16' },
      lora_unet_b: { ...linear, kind: 'conv2d', alpha: null },
    },
    alphaDtype: 'BF16',
    rest: { 'bundle_emb.x': one },
    metadata: {
      ss_network_dim: '4',
      ss_network_alpha: '1.0',
      ss_network_args: '{"conv_dim": "4", "conv_alpha": 1, "algo": "locon"}',
      ss_training_comment: 'mine',
      sshs_model_hash: 'x',
      sshs_legacy_hash: 'y',
      'modelspec.hash_sha256': 'z',
      'modelspec.title': 'style',
    },
  })
  const adapter = await openAdapter(file)
  const output = describeResized(
    adapter,
    new Map([
      ['lora_unet_a', 3],
      ['lora_unet_b', 2],
    ]),
  )
  t.is(output.fileName, 'style.safetensors')
  t.is(output.config, null)
  t.deepEqual(shapes(output), [
    'lora_unet_a.lora_down.weight F16 3×5 a',
    'lora_unet_a.lora_up.weight F16 6×3 b',
    'lora_unet_b.lora_down.weight F32 2×5×3×3 a',
    'lora_unet_b.lora_up.weight F32 6×2×1×1 b',
    'lora_unet_a.alpha BF16  bytes',
    'lora_unet_b.alpha F32  bytes',
    'bundle_emb.x F16 1 copy',
  ])
  const bytes = output.tensors.flatMap((tensor) => (tensor.from === 'bytes' ? [[...tensor.bytes]] : []))
  t.deepEqual(bytes, [
    [0x40, 0x40],
    [0, 0, 0, 0x40],
  ])
  t.deepEqual(
    { ...output.metadata },
    {
      ss_network_dim: '3',
      ss_network_alpha: '3.0',
      ss_network_args: '{"conv_dim":"2","conv_alpha":2,"algo":"locon"}',
      ss_training_comment: 'mine; resized by taskfold from rank 4 to 2–3',
      'modelspec.title': 'style',
    },
  )
  t.deepEqual(output.warnings, [])
})

test('kohya: ranks that differ are Dynamic; arguments that are no JSON stay', async (t) => {
  const file = join(tempFolder(t), 'a.safetensors')
  writeKohyaAdapter(file, {
    layers: { a: linear, b: linear },
    metadata: { ss_network_args: 'conv_dim=4', ss_training_comment: 'None' },
  })
  const { metadata, warnings } = describeResized(
    await openAdapter(file),
    new Map([
      ['a', 1],
      ['b', 2],
    ]),
  )
  t.deepEqual(
    { ...metadata },
    {
      ss_network_args: 'conv_dim=4',
      ss_training_comment: 'resized by taskfold from rank 4 to 1–2',
      ss_network_dim: 'Dynamic',
      ss_network_alpha: 'Dynamic',
    },
  )
  t.deepEqual(
    warnings.map(({ kind }) => kind),
    ['metadata'],
  )
})

test('kohya: without training metadata none is made; other namings get no alpha that they had not', async (t) => {
  const file = join(tempFolder(t), 'a.safetensors')
  writeKohyaAdapter(file, { layers: { x: linear }, style: 'lora_A', alpha: null, metadata: { format: 'pt' } })
  const output = describeResized(await openAdapter(file), new Map([['x', 2]]))
  t.deepEqual({ ...output.metadata }, { format: 'pt' })
  t.deepEqual(shapes(output), ['x.lora_A.weight F32 2×5 a', 'x.lora_B.weight F32 6×2 b'])
})

test('kohya: an alpha that its dtype cannot hold is written as F32', async (t) => {
  const file = join(tempFolder(t), 'a.safetensors')
  for (const [alphaDtype, rank, dtype] of [
    ['BF16', 256, 'BF16'],
    ['BF16', 257, 'F32'],
    ['F16', 2048, 'F16'],
    ['F16', 2049, 'F32'],
    ['F16', 70000, 'F32'],
    ['F16', 1, 'F16'],
    ['I64', 12345, 'I64'],
    ['F64', 257, 'F64'],
  ] as const) {
    writeKohyaAdapter(file, { layers: { a: { ...linear, alpha: 2 } }, alphaDtype })
    const output = describeResized(await openAdapter(file), new Map([['a', rank]]))
    t.is(output.tensors.find(({ name }) => name === 'a.alpha')?.dtype, dtype, `${alphaDtype} ${rank}`)
  }
})

test('the example family: one rank', async (t) => {
  const adapter = await openAdapter(resolve('examples/family/lora/mnist'))
  const output = describeResized(adapter, new Map(adapter.layers.map(({ module }) => [module, 3])))
  t.is(output.tensors.length, 18)
  t.like(JSON.parse(output.config!), { r: 3, lora_alpha: 3, target_modules: ['query', 'value'] })
  t.deepEqual(
    output.warnings.map(({ kind }) => kind),
    ['modules-to-save'],
  )
})
