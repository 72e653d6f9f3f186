import test from 'ava'
import type { TensorInfo } from '../../../lib/checkpoint/checkpoint-types.js'
import { describePeftAdapter, type NewLayer } from '../../../lib/lora/peft-adapter.js'

const info: TensorInfo = {
  ...{ name: 'head.weight', dtype: 'BF16', shape: [3, 4], elements: 12 },
  ...{ file: '/m', offset: 8, length: 24 },
}
const layer = (module: string, rank: number, more: Partial<NewLayer> = {}): NewLayer => ({
  ...{ module, kind: 'linear', rows: 6, columns: 5, rank, dtype: 'F16' },
  ...{ aShape: [rank, 5], bShape: [6, rank] },
  ...more,
})
const rest = {
  ...{ rest: [{ name: info.name, info }], baseName: 'org/base', modulesToSave: ['head'] },
  ...{ fanInFanOut: false, metadata: { note: 'mine' } },
}

test('names, shapes and configuration of a new adapter', (t) => {
  const output = describePeftAdapter({
    layers: [layer('m.q', 2), layer('m.emb', 2, { kind: 'embedding', dtype: 'F32' })],
    targetModules: ['emb', 'q'],
    ...rest,
  })
  t.is(output.fileName, 'adapter_model.safetensors')
  t.deepEqual(
    output.tensors.map(({ name, dtype, shape, from }) => [name, dtype, shape, from]),
    [
      ['base_model.model.m.q.lora_A.weight', 'F16', [2, 5], 'a'],
      ['base_model.model.m.q.lora_B.weight', 'F16', [6, 2], 'b'],
      ['base_model.model.m.emb.lora_embedding_A', 'F32', [2, 5], 'a'],
      ['base_model.model.m.emb.lora_embedding_B', 'F32', [6, 2], 'b'],
      ['base_model.model.head.weight', 'BF16', [3, 4], 'copy'],
    ],
  )
  t.deepEqual(output.metadata, { note: 'mine', format: 'pt' })
  t.deepEqual(JSON.parse(output.config!), {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: 'org/base',
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: 2,
    lora_dropout: 0,
    modules_to_save: ['head'],
    peft_type: 'LORA',
    r: 2,
    rank_pattern: {},
    revision: null,
    target_modules: ['emb', 'q'],
    task_type: null,
    use_dora: false,
    use_rslora: false,
  })
})

test('ranks that differ, nothing stored whole, weights stored transposed', (t) => {
  const { config, warnings } = describePeftAdapter({
    layers: [layer('m.q', 2), layer('m.v', 4)],
    targetModules: '^(?:m\\.q|m\\.v)$',
    ...{ ...rest, rest: [], modulesToSave: [], fanInFanOut: true },
  })
  t.like(JSON.parse(config!), {
    ...{ r: 4, lora_alpha: 4, modules_to_save: null, fan_in_fan_out: true },
    ...{ rank_pattern: { 'm.q': 2 }, alpha_pattern: { 'm.q': 2 }, target_modules: '^(?:m\\.q|m\\.v)$' },
  })
  t.deepEqual(
    warnings.map(({ kind }) => kind),
    ['rank-pattern'],
  )
})
