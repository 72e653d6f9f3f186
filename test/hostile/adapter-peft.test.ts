import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { ErrorCode } from '../../lib/errors/error-codes.js'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { openAdapter } from '../../lib/lora/open-adapter.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { type TinyTensor, tinyRaw, tinySafetensors } from '../helpers/tiny-checkpoint.js'

interface Lie {
  what: string
  /** Fields that replace those of a sound configuration, or the text of the whole file. */
  config?: Record<string, unknown> | string | Buffer
  /** Tensors that replace those of a sound file; null leaves one out. Or the bytes of the whole file. */
  tensors?: Record<string, TinyTensor | null> | Buffer
  code: ErrorCode
  message?: RegExp
}

const A = 'base_model.model.m.q.lora_A.weight'
const B = 'base_model.model.m.q.lora_B.weight'
const zeros = (...shape: number[]): TinyTensor => {
  return { dtype: 'F32', shape, data: new Uint8Array(4 * shape.reduce((n, extent) => n * extent, 1)) }
}
const invalid = (what: string, config: Lie['config'], message: RegExp): Lie => {
  return { what, config, code: 'ADAPTER_INVALID', message }
}
const unsupported = (what: string, config: Lie['config'], message: RegExp): Lie => {
  return { what, config, code: 'ADAPTER_UNSUPPORTED', message }
}
const wrongTensors = (what: string, tensors: Lie['tensors'], message: RegExp): Lie => {
  return { what, tensors, code: 'ADAPTER_INVALID', message }
}
const otherTensors = (what: string, tensors: Lie['tensors'], message: RegExp): Lie => {
  return { what, tensors, code: 'ADAPTER_UNSUPPORTED', message }
}

const lies: Lie[] = [
  // adapter_config.json
  invalid('config is empty', '', /not JSON/),
  invalid('config is cut off', '{"peft_type":"LORA"', /not JSON/),
  invalid('config is a list', '[]', /not a JSON object/),
  invalid('config is not UTF-8', Buffer.from('{"a":"\xff"}', 'latin1'), /not valid UTF-8/),
  invalid('config has Python’s NaN', '{"peft_type":"LORA","r":2,"lora_alpha":NaN}', /not JSON/),
  invalid('config has a key twice', '{"r":2,"r":3}', /"r" appears twice/),
  invalid(
    'config has a pattern twice',
    '{"rank_pattern":{"q":2,"q":3}}',
    /"q" appears twice in rank_pattern/,
  ),
  invalid('config is nested deeply', `{"a":${'['.repeat(99)}${']'.repeat(99)}}`, /nested/),
  invalid('no peft_type', { peft_type: undefined }, /peft_type is missing/),
  unsupported('another peft_type', { peft_type: 'LOHA' }, /"LOHA"/),
  invalid('no r', { r: undefined }, /r is missing/),
  invalid('r is 0', { r: 0 }, /r is 0/),
  invalid('r is negative', { r: -2 }, /r is -2/),
  invalid('r is a fraction', { r: 1.5 }, /r is 1.5/),
  invalid('r is text', { r: '2' }, /r is \\"2\\"/),
  invalid('r is another rank', { r: 3 }, /has rank 2, but .*adapter_config.json gives its module rank 3/),
  invalid('no lora_alpha', { lora_alpha: undefined }, /lora_alpha is missing/),
  invalid('lora_alpha is text', { lora_alpha: 'x' }, /lora_alpha/),
  invalid('lora_alpha is infinite', '{"peft_type":"LORA","r":2,"lora_alpha":1e999}', /lora_alpha is null/),
  invalid('use_rslora is text', { use_rslora: 'yes' }, /use_rslora/),
  invalid('fan_in_fan_out is a number', { fan_in_fan_out: 1 }, /fan_in_fan_out/),
  invalid('bias is unknown', { bias: 'some' }, /bias is/),
  invalid('rank_pattern is a list', { rank_pattern: [1] }, /rank_pattern is \[1\]/),
  invalid('rank_pattern has 0', { rank_pattern: { q: 0 } }, /rank_pattern\["q"\] is 0/),
  invalid('rank_pattern lies', { rank_pattern: { q: 4 } }, /has rank 2, but .* rank 4/),
  invalid('alpha_pattern has text', { alpha_pattern: { q: '1' } }, /alpha_pattern\["q"\]/),
  unsupported('a pattern is no regular expression', { alpha_pattern: { '(': 1 } }, /"\("/),
  unsupported('a pattern of Python only', { rank_pattern: { '(?i)Q': 2 } }, /"\(\?i\)Q"/),
  unsupported('DoRA', { use_dora: true }, /use_dora.*DoRA/),
  unsupported('lora_bias', { lora_bias: true }, /lora_bias/),
  unsupported('layer_replication', { layer_replication: [[0, 2]] }, /layer_replication/),
  unsupported('target_parameters', { target_parameters: ['experts.w'] }, /target_parameters/),
  unsupported('QA-LoRA', { use_qalora: true }, /use_qalora/),
  unsupported('aLoRA', { alora_invocation_tokens: [1, 2] }, /alora_invocation_tokens/),
  unsupported('BD-LoRA', { use_bdlora: { nblocks: 2 } }, /use_bdlora/),
  unsupported('Arrow', { arrow_config: { top_k: 2 } }, /arrow_config/),
  unsupported('KaSA', { kasa_config: { beta: 1 } }, /kasa_config/),
  unsupported('MonteCLoRA', { monteclora_config: { n: 1 } }, /monteclora_config/),
  unsupported('VeLoRA', { velora_config: { n: 1 } }, /velora_config/),
  // adapter_model.safetensors
  wrongTensors('no factors', { [A]: null, [B]: null, 'base_model.model.x': zeros(1) }, /no LoRA adapter/),
  wrongTensors('A without B', { [B]: null }, /no factor B/),
  wrongTensors('B without A', { [A]: null }, /no factor A/),
  wrongTensors('ranks differ', { [B]: zeros(4, 3) }, /B has rank 3 and A has rank 2/),
  wrongTensors('rank 0', { [A]: zeros(0, 5), [B]: zeros(4, 0) }, /no elements/),
  wrongTensors('no rows', { [B]: zeros(0, 2) }, /no elements/),
  wrongTensors('A is a vector', { [A]: zeros(2) }, /neither matrices nor kernels/),
  wrongTensors('A is a scalar', { [A]: zeros() }, /neither matrices nor kernels/),
  wrongTensors('A has six dimensions', { [A]: zeros(2, 1, 1, 1, 1, 1) }, /neither matrices nor kernels/),
  wrongTensors('a matrix and a kernel', { [A]: zeros(2, 5, 3, 3) }, /different numbers of dimensions/),
  wrongTensors('B has a kernel', { [A]: zeros(2, 5, 3, 3), [B]: zeros(4, 2, 3, 3) }, /kernel of B is not 1/),
  otherTensors('a grouped convolution', { [A]: zeros(2, 5, 3, 3), [B]: zeros(4, 1, 1, 1) }, /in 2 groups/),
  wrongTensors('a convolution of other ranks', { [A]: zeros(2, 5, 3, 3), [B]: zeros(4, 3, 1, 1) }, /rank 3/),
  otherTensors('A is F64', { [A]: { dtype: 'F64', shape: [2, 5], data: new Array(10).fill(0) } }, /is F64/),
  otherTensors('B is I8', { [B]: { dtype: 'I8', shape: [4, 2], data: new Uint8Array(8) } }, /is I8/),
  wrongTensors(
    'two adapters',
    { 'base_model.model.m.v.lora_A.other.weight': zeros(2, 5) },
    /several adapters: .*"other"/,
  ),
  wrongTensors('no prefix', { 'm.v.lora_A.weight': zeros(2, 5) }, /does not begin with base_model.model/),
  wrongTensors(
    'an embedding and a linear layer',
    { 'base_model.model.m.q.lora_embedding_A': zeros(2, 5) },
    /both an embedding and a linear layer/,
  ),
  wrongTensors(
    'an embedding of four dimensions',
    {
      [A]: null,
      [B]: null,
      'base_model.model.e.lora_embedding_A': zeros(2, 5, 1, 1),
      'base_model.model.e.lora_embedding_B': zeros(4, 2, 1, 1),
    },
    /no matrix/,
  ),
  wrongTensors(
    'a line break in a name',
    { 'base_model.model.m\nq.lora_A.weight': zeros(2, 5) },
    /line break/,
  ),
  otherTensors('a magnitude vector', { 'base_model.model.m.q.lora_magnitude_vector': zeros(4) }, /DoRA/),
  otherTensors(
    'an older magnitude vector',
    { 'base_model.model.m.q.lora_magnitude_vector.weight': zeros(4) },
    /DoRA/,
  ),
  otherTensors('a bias of B', { 'base_model.model.m.q.lora_B.bias': zeros(4) }, /lora_bias/),
  otherTensors('an unknown factor', { 'base_model.model.m.q.lora_diag': zeros(2) }, /no variant of LoRA/),
  { what: 'cut off', tensors: tinyRaw('{', undefined, 100n), code: 'HEADER_TOO_SHORT' },
  { what: 'a huge header', tensors: tinyRaw('{', undefined, 1n << 60n), code: 'HEADER_TOO_LARGE' },
  {
    what: 'a shape that lies',
    tensors: { [A]: { dtype: 'F32', shape: [2 ** 40, 5], data: [0] } },
    code: 'TENSOR_SIZE_MISMATCH',
  },
]

for (const { what, config, tensors = {}, code, message = /./ } of lies) {
  test(`PEFT: ${what}`, async (t) => {
    const folder = tempFolder(t)
    const fields = { peft_type: 'LORA', r: 2, lora_alpha: 4 }
    const text =
      typeof config === 'string' || Buffer.isBuffer(config)
        ? config
        : JSON.stringify({ ...fields, ...config })
    writeFileSync(join(folder, 'adapter_config.json'), text)
    const all = { [A]: zeros(2, 5), [B]: zeros(4, 2), ...tensors }
    const kept = Object.entries(all).filter((entry): entry is [string, TinyTensor] => entry[1] !== null)
    const bytes = Buffer.isBuffer(tensors) ? tensors : tinySafetensors({ tensors: Object.fromEntries(kept) })
    writeFileSync(join(folder, 'adapter_model.safetensors'), bytes)
    const error = await t.throwsAsync(openAdapter(folder), { instanceOf: TaskfoldError, code, message })
    t.true(error?.file?.startsWith(folder), error?.file)
    t.is(error?.message.includes('\n'), false)
    if (code.startsWith('ADAPTER')) t.truthy(error?.hint)
  })
}

test('a sound adapter opens, so that each lie above is the only one', async (t) => {
  const folder = tempFolder(t)
  writeFileSync(join(folder, 'adapter_config.json'), '{"peft_type":"LORA","r":2,"lora_alpha":4}')
  writeFileSync(
    join(folder, 'adapter_model.safetensors'),
    tinySafetensors({ tensors: { [A]: zeros(2, 5), [B]: zeros(4, 2) } }),
  )
  t.is((await openAdapter(folder)).layers.length, 1)
})

test('a configuration larger than any real one', async (t) => {
  const folder = tempFolder(t)
  writeFileSync(join(folder, 'adapter_config.json'), Buffer.alloc(33 * 1024 * 1024, ' '))
  writeFileSync(join(folder, 'adapter_model.safetensors'), '')
  await t.throwsAsync(openAdapter(folder), { code: 'ADAPTER_INVALID', message: /above the limit/ })
})

test('folders without weights that can be read', async (t) => {
  const folder = tempFolder(t)
  await t.throwsAsync(openAdapter(folder), { code: 'NOT_A_CHECKPOINT', message: /no adapter_config.json/ })
  writeFileSync(join(folder, 'adapter_config.json'), '{}')
  await t.throwsAsync(openAdapter(folder), { code: 'NOT_A_CHECKPOINT', message: /no adapter_model/ })
  writeFileSync(join(folder, 'adapter_model.bin'), '')
  const pickle = await t.throwsAsync(openAdapter(folder), { code: 'NOT_A_CHECKPOINT' })
  t.regex((pickle as TaskfoldError).hint ?? '', /Convert/)
  rmSync(join(folder, 'adapter_config.json'))
  await t.throwsAsync(openAdapter(folder), { code: 'NOT_A_CHECKPOINT' })
  for (const name of ['a.safetensors', 'b.safetensors']) writeFileSync(join(folder, name), '')
  await t.throwsAsync(openAdapter(folder), { code: 'NOT_A_CHECKPOINT', message: /2 .safetensors files/ })
})

test('PEFT weights without their configuration', async (t) => {
  const folder = tempFolder(t)
  writeFileSync(
    join(folder, 'adapter_model.safetensors'),
    tinySafetensors({ tensors: { [A]: zeros(2, 5), [B]: zeros(4, 2) } }),
  )
  await t.throwsAsync(openAdapter(folder), { code: 'ADAPTER_INVALID', message: /adapter_config.json/ })
})

test('what is no path, or not there', async (t) => {
  await t.throwsAsync(openAdapter(''), { code: 'INVALID_ARGUMENT' })
  await t.throwsAsync(openAdapter('a\0'), { code: 'INVALID_ARGUMENT' })
  await t.throwsAsync(openAdapter(undefined as unknown as string), { code: 'INVALID_ARGUMENT' })
  await t.throwsAsync(openAdapter('/nowhere/at/all/lora'), { code: 'NOT_FOUND' })
  const folder = tempFolder(t)
  mkdirSync(join(folder, 'sub'))
  writeFileSync(join(folder, 'lora.bin'), 'x')
  await t.throwsAsync(openAdapter(join(folder, 'lora.bin')), { code: 'NOT_A_CHECKPOINT' })
})
