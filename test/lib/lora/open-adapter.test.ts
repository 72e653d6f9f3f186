import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import test from 'ava'
import { openAdapter } from '../../../lib/lora/open-adapter.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { writeKohyaAdapter, writePeftAdapter } from '../../helpers/write-adapter.js'

const linear = { rows: 6, columns: 5, rank: 2 }
const one = { dtype: 'F32', shape: [1], data: [1] }

test('a PEFT folder: layers in name order, scale α/r, other tensors and files passed through', async (t) => {
  const folder = tempFolder(t)
  writePeftAdapter(folder, {
    layers: { 'model.b.v_proj': linear, 'model.a.q_proj': { ...linear, rows: 4 } },
    rest: {
      'base_model.model.classifier.weight': one,
      'base_model.model.model.a.q_proj.base_layer.bias': one,
      'base_model.model.embed.token_adapter.trainable_tokens_delta': one,
    },
    config: { lora_alpha: 3, bias: 'all', modules_to_save: ['classifier'] },
    files: { 'README.md': 'x', 'tokenizer.json': '{}' },
    metadata: { format: 'pt', note: 'mine' },
  })
  const adapter = await openAdapter(`${folder}/`)
  t.is(adapter.format, 'peft')
  t.is(adapter.folder, folder)
  t.is(adapter.source, `${folder}/`)
  t.is(adapter.checkpoint.source, `${folder}/`)
  t.deepEqual(
    adapter.layers.map(({ module, kind, rows, columns, rank, alpha, scale }) => [
      ...[module, kind, rows, columns, rank, alpha, scale],
    ]),
    [
      ['model.a.q_proj', 'linear', 4, 5, 2, 3, 1.5],
      ['model.b.v_proj', 'linear', 6, 5, 2, 3, 1.5],
    ],
  )
  t.is(adapter.layers[0]?.a.name, 'base_model.model.model.a.q_proj.lora_A.weight')
  t.is(adapter.layers[0]?.b.name, 'base_model.model.model.a.q_proj.lora_B.weight')
  t.deepEqual(
    adapter.rest.map(({ name }) => name),
    [
      'base_model.model.classifier.weight',
      'base_model.model.embed.token_adapter.trainable_tokens_delta',
      'base_model.model.model.a.q_proj.base_layer.bias',
    ],
  )
  t.deepEqual(adapter.otherFiles, ['README.md', 'tokenizer.json'])
  t.deepEqual({ ...adapter.metadata }, { format: 'pt', note: 'mine' })
  t.is(adapter.config?.lora_alpha, 3)
})

test('rsLoRA divides by the root of the rank', async (t) => {
  const folder = tempFolder(t)
  writePeftAdapter(folder, {
    layers: { a: { ...linear, rank: 4 } },
    config: { use_rslora: true, lora_alpha: 6 },
  })
  const { layers } = await openAdapter(folder)
  t.is(layers[0]?.scale, 3)
})

test('ranks and alphas by pattern, each looked up on its own', async (t) => {
  const folder = tempFolder(t)
  writePeftAdapter(folder, {
    layers: {
      'm.0.q': linear,
      'm.0.v': { ...linear, rank: 3 },
      'm.1.q': { ...linear, rank: 5 },
      'm.1.v': { ...linear, rank: 3 },
    },
    config: { lora_alpha: 2, rank_pattern: { '1.q': 5, v: 3 }, alpha_pattern: { 'm\\.1\\..*': 30 } },
  })
  const { layers } = await openAdapter(folder)
  t.deepEqual(
    layers.map(({ module, rank, alpha, scale }) => [module, rank, alpha, scale]),
    [
      ['m.0.q', 2, 2, 1],
      ['m.0.v', 3, 2, 2 / 3],
      ['m.1.q', 5, 30, 6],
      ['m.1.v', 3, 30, 10],
    ],
  )
})

test('of two patterns the first in the file counts, also when its key looks like a number', async (t) => {
  const folder = tempFolder(t)
  writePeftAdapter(folder, { layers: { 'net.0': linear } })
  const config = (patterns: string) =>
    writeFileSync(
      join(folder, 'adapter_config.json'),
      `{"peft_type":"LORA","r":2,"lora_alpha":1,"alpha_pattern":${patterns}}`,
    )
  config('{"net.0":4,"0":8}')
  t.is((await openAdapter(folder)).layers[0]?.alpha, 4)
  config('{"0":8,"net.0":4}')
  t.is((await openAdapter(folder)).layers[0]?.alpha, 8)
})

test('embeddings and convolutions of 1, 2 and 3 dimensions', async (t) => {
  const folder = tempFolder(t)
  writePeftAdapter(folder, {
    layers: {
      embed: { kind: 'embedding', rows: 4, columns: 9, rank: 2 },
      conv1: { kind: 'conv2d', rows: 5, columns: 3, rank: 2, kernel: [7] },
      conv2: { kind: 'conv2d', rows: 5, columns: 3, rank: 2, kernel: [3, 2] },
      conv3: { kind: 'conv2d', rows: 5, columns: 3, rank: 2, kernel: [2, 3, 1] },
    },
  })
  const { layers } = await openAdapter(folder)
  t.deepEqual(
    layers.map(({ module, kind, rows, columns }) => [module, kind, rows, columns]),
    [
      ['conv1', 'conv2d', 5, 21],
      ['conv2', 'conv2d', 5, 18],
      ['conv3', 'conv2d', 5, 18],
      ['embed', 'embedding', 4, 9],
    ],
  )
})

test('an adapter name in the keys', async (t) => {
  const folder = tempFolder(t)
  writePeftAdapter(folder, {
    layers: { a: linear, e: { ...linear, kind: 'embedding' } },
    adapterName: 'default',
  })
  const { layers } = await openAdapter(folder)
  t.deepEqual(
    layers.map(({ module, kind, a }) => [module, kind, a.name]),
    [
      ['a', 'linear', 'base_model.model.a.lora_A.default.weight'],
      ['e', 'embedding', 'base_model.model.e.lora_embedding_A.default'],
    ],
  )
})

test('the weights or the configuration stand for their folder', async (t) => {
  const folder = tempFolder(t)
  writePeftAdapter(folder, { layers: { a: linear } })
  for (const name of ['adapter_model.safetensors', 'adapter_config.json']) {
    const adapter = await openAdapter(join(folder, name))
    t.is(adapter.format, 'peft')
    t.is(adapter.folder, folder)
  }
})

test('org/name of the Hugging Face cache', async (t) => {
  const cacheDir = tempFolder(t)
  const commit = 'a'.repeat(40)
  const repo = join(cacheDir, 'models--org--lora')
  writePeftAdapter(join(repo, 'snapshots', commit), { layers: { a: linear } })
  mkdirSync(join(repo, 'refs'))
  writeFileSync(join(repo, 'refs', 'main'), commit)
  const adapter = await openAdapter('org/lora', { cacheDir })
  t.is(adapter.source, 'org/lora')
  t.is(adapter.folder, join(repo, 'snapshots', commit))
  await t.throwsAsync(openAdapter('org/other', { cacheDir }), { code: 'NOT_FOUND' })
})

test('a kohya file, alone or as the only one of a folder', async (t) => {
  const folder = tempFolder(t)
  const file = join(folder, 'style.safetensors')
  writeKohyaAdapter(file, {
    layers: {
      lora_unet_mid_attn_to_q: { ...linear, alpha: 1 },
      lora_unet_conv: { ...linear, kind: 'conv2d', alpha: 4 },
      lora_unet_proj: { ...linear, kind: 'conv2d', kernel: [1, 1], alpha: null },
    },
    rest: { 'bundle_emb.cat.string_to_param.*': one },
    metadata: { ss_network_dim: '2' },
  })
  for (const source of [file, folder]) {
    const adapter = await openAdapter(source)
    t.is(adapter.format, 'kohya')
    t.is(adapter.config, null)
    t.is(adapter.folder, folder)
    t.deepEqual(adapter.otherFiles, [])
    t.deepEqual({ ...adapter.metadata }, { ss_network_dim: '2' })
    t.deepEqual(
      adapter.layers.map(({ module, kind, columns, alpha, scale }) => [module, kind, columns, alpha, scale]),
      [
        ['lora_unet_conv', 'conv2d', 45, 4, 2],
        ['lora_unet_mid_attn_to_q', 'linear', 5, 1, 0.5],
        ['lora_unet_proj', 'conv2d', 5, 2, 1],
      ],
    )
    t.deepEqual(
      adapter.rest.map(({ name }) => name),
      ['bundle_emb.cat.string_to_param.*'],
    )
  }
})

test('alphas of every dtype that trainers write', async (t) => {
  const file = join(tempFolder(t), 'a.safetensors')
  for (const alphaDtype of ['F32', 'F64', 'F16', 'BF16', 'I64', 'I32'] as const) {
    writeKohyaAdapter(file, { layers: { a: linear }, alpha: 6, alphaDtype })
    t.is((await openAdapter(file)).layers[0]?.alpha, 6, alphaDtype)
  }
  for (const alphaDtype of ['F32', 'F64', 'F16', 'BF16'] as const) {
    writeKohyaAdapter(file, { layers: { a: linear }, alpha: -0.375, alphaDtype })
    t.is((await openAdapter(file)).layers[0]?.alpha, -0.375, alphaDtype)
  }
})

test('the other namings that kohya’s resize_lora.py takes', async (t) => {
  const file = join(tempFolder(t), 'a.safetensors')
  writeKohyaAdapter(file, { layers: { 'transformer.x': linear }, style: 'lora_A', alpha: 4 })
  t.like((await openAdapter(file)).layers[0], { module: 'transformer.x', rank: 2, scale: 2 })
  writeKohyaAdapter(file, {
    layers: { 'input_blocks.1.to_q': linear },
    style: 'down',
    alpha: null,
    rest: { lora_controlnet: { dtype: 'F32', shape: [0], data: [] }, 'input_blocks.1.norm.weight': one },
  })
  const control = await openAdapter(file)
  t.like(control.layers[0], { module: 'input_blocks.1.to_q', alpha: 2, scale: 1 })
  t.deepEqual(
    control.rest.map(({ name }) => name),
    ['lora_controlnet', 'input_blocks.1.norm.weight'],
  )
})

test('the example family’s adapters', async (t) => {
  const root = resolve('examples/family/lora')
  for (const name of readdirSync(root)) {
    const adapter = await openAdapter(join(root, name))
    t.is(adapter.format, 'peft')
    t.is(adapter.layers.length, 8, name)
    t.true(adapter.layers.every(({ rank, scale }) => rank === 8 && scale === 2))
    t.deepEqual(
      adapter.rest.map((info) => info.name),
      ['base_model.model.classifier.bias', 'base_model.model.classifier.weight'],
    )
  }
})

test('an abort ends it', async (t) => {
  const folder = tempFolder(t)
  writePeftAdapter(folder, { layers: { a: linear } })
  await t.throwsAsync(openAdapter(folder, { signal: AbortSignal.abort() }), { code: 'CANCELLED' })
})
