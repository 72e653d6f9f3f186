import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { ErrorCode } from '../../lib/errors/error-codes.js'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { openAdapter } from '../../lib/lora/open-adapter.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { type TinyTensor, tinySafetensors } from '../helpers/tiny-checkpoint.js'

interface Lie {
  what: string
  /** Tensors that replace those of a sound file; null leaves one out. */
  tensors: Record<string, TinyTensor | null>
  metadata?: Record<string, string>
  code: ErrorCode
  message: RegExp
}

const down = 'lora_unet_q.lora_down.weight'
const up = 'lora_unet_q.lora_up.weight'
const alpha = 'lora_unet_q.alpha'
const zeros = (...shape: number[]): TinyTensor => {
  return { dtype: 'F32', shape, data: new Uint8Array(4 * shape.reduce((n, extent) => n * extent, 1)) }
}
const number = (value: number): TinyTensor => ({ dtype: 'F32', shape: [], data: [value] })
const sound = { [down]: zeros(2, 5), [up]: zeros(4, 2), [alpha]: number(1) }

const invalid = (what: string, tensors: Lie['tensors'], message: RegExp): Lie => {
  return { what, tensors, code: 'ADAPTER_INVALID', message }
}
/** A tensor of another algorithm beside sound ones. */
const other = (name: string, message: RegExp): Lie => {
  return { what: name, tensors: { [name]: zeros(2, 2) }, code: 'ADAPTER_UNSUPPORTED', message }
}

const lies: Lie[] = [
  invalid('no up', { [up]: null }, /no up factor/),
  invalid('no down', { [down]: null }, /no down factor/),
  invalid('alpha alone', { 'lora_unet_v.alpha': number(1) }, /no factors/),
  invalid('ranks differ', { [up]: zeros(4, 3) }, /rank 3 and A has rank 2/),
  invalid('rank 0', { [down]: zeros(0, 5), [up]: zeros(4, 0) }, /no elements/),
  invalid('a linear factor and a kernel', { [down]: zeros(2, 5, 3, 3) }, /numbers of dimensions/),
  invalid('alpha is NaN', { [alpha]: number(Number.NaN) }, /alpha" is NaN/),
  invalid('alpha is infinite', { [alpha]: number(Number.POSITIVE_INFINITY) }, /is Infinity/),
  invalid('alpha is 0', { [alpha]: number(0) }, /is 0/),
  invalid('alpha is a vector', { [alpha]: zeros(2) }, /has 2 elements/),
  invalid('alpha is empty', { [alpha]: zeros(0) }, /has 0 elements/),
  invalid('alpha is U8', { [alpha]: { dtype: 'U8', shape: [], data: [1] } }, /is U8/),
  invalid('a NaN in F16', { [alpha]: { dtype: 'F16', shape: [1], data: [0x7e00] } }, /is NaN/),
  invalid('factors under two names', { 'lora_unet_q.lora_A.weight': zeros(2, 5) }, /under two names/),
  invalid('with and without .weight', { 'lora_unet_q.lora_down': zeros(2, 5) }, /under two names/),
  {
    what: 'factors of integers',
    tensors: { [down]: { dtype: 'I32', shape: [2, 5], data: new Array(10).fill(0) } },
    code: 'ADAPTER_UNSUPPORTED',
    message: /is I32/,
  },
  {
    what: 'the scale is in diffusers’ metadata',
    tensors: {},
    metadata: { lora_adapter_metadata: '{"unet.lora_alpha":8}' },
    code: 'ADAPTER_UNSUPPORTED',
    message: /lora_adapter_metadata/,
  },
  other('lora_unet_c.lora_mid.weight', /Tucker/),
  other('lora_unet_c.hada_w1_a', /LoHa/),
  other('lora_unet_c.hada_t2', /LoHa/),
  other('lora_unet_c.lokr_w1', /LoKr/),
  other('lora_unet_c.lokr_w2_b', /LoKr/),
  other('lora_unet_q.dora_scale', /DoRA/),
  other('lora_unet_c.oft_blocks', /OFT/),
  other('lora_unet_c.oft_diag', /OFT/),
  other('lora_unet_c.a1.weight', /GLoRA/),
  other('lora_unet_c.on_input', /IA³/),
  other('lora_unet_c.diff', /full size/),
  other('lora_unet_c.diff_b', /full size/),
  other('lora_unet_c.w_norm', /norm/),
  other('lora_unet_c.b_norm', /norm/),
  other('lora_unet_c.scalar', /besides its factors/),
  other('lora_unet_c.lora_up.bias', /bias of a factor/),
  other('lora_unet_c.lora_down.0.weight', /no variant of LoRA/),
  other('model.layers.0.norm.weight', /no part of a LoRA/),
]

for (const { what, tensors, metadata, code, message } of lies) {
  test(`kohya: ${what}`, async (t) => {
    const file = join(tempFolder(t), 'lora.safetensors')
    const kept = Object.entries({ ...sound, ...tensors }).filter(
      (entry): entry is [string, TinyTensor] => entry[1] !== null,
    )
    writeFileSync(file, tinySafetensors({ tensors: Object.fromEntries(kept), metadata }))
    const error = await t.throwsAsync(openAdapter(file), { instanceOf: TaskfoldError, code, message })
    t.is(error?.file, file)
    t.truthy(error?.hint)
  })
}

test('a sound file opens, so that each lie above is the only one', async (t) => {
  const file = join(tempFolder(t), 'lora.safetensors')
  writeFileSync(file, tinySafetensors({ tensors: sound }))
  t.is((await openAdapter(file)).layers.length, 1)
})

test('a whole model instead of an adapter', async (t) => {
  const file = join(tempFolder(t), 'model.safetensors')
  writeFileSync(file, tinySafetensors({ tensors: { 'model.embed.weight': zeros(3, 2) } }))
  const error = await t.throwsAsync(openAdapter(file), {
    code: 'ADAPTER_INVALID',
    message: /no LoRA adapter/,
  })
  t.regex((error as TaskfoldError).hint ?? '', /lora extract/)
})

test('a whole model whose layers are called up and down', async (t) => {
  const file = join(tempFolder(t), 'model.safetensors')
  const tensors = { 'mlp.up.weight': zeros(8, 2), 'mlp.down.weight': zeros(2, 8), 'norm.weight': zeros(2) }
  writeFileSync(file, tinySafetensors({ tensors }))
  await t.throwsAsync(openAdapter(file), { code: 'ADAPTER_UNSUPPORTED', message: /norm.weight/ })
})
