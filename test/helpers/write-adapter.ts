import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { decodeFloats } from '../reference/float-convert.js'
import { type Random, seededRandom } from './random.js'
import { type FloatKind, randomFloats } from './random-floats.js'
import { type TinyTensor, tinyBytes, tinySafetensors } from './tiny-checkpoint.js'

/** One layer of an adapter to write; factors are random unless given. */
export interface TinyLayer {
  /** Default `linear`. */
  kind?: 'linear' | 'conv2d' | 'embedding'
  /** Rows of B: out features; of an embedding its dimension. */
  rows: number
  /** Columns of A without the kernel: in features; of an embedding its vocabulary. */
  columns: number
  rank: number
  /** Kernel of a convolution, default [3, 3]. */
  kernel?: readonly number[]
  /** α of this layer (kohya); null: none. Default: that of the adapter. */
  alpha?: number | null
  /** Default: that of the adapter. */
  dtype?: FloatDtype
  /** Elements of A and B, instead of random ones (F32). */
  a?: readonly number[]
  b?: readonly number[]
}

/** What both formats share. */
export interface TinyAdapter {
  layers: Readonly<Record<string, TinyLayer>>
  /** Of the factors, default F32. */
  dtype?: FloatDtype
  /** What random factors look like, default `normal`. */
  values?: FloatKind
  /** Of the random factors, default 1. */
  seed?: number
  /** Further tensors. */
  rest?: Readonly<Record<string, TinyTensor>>
  /** `__metadata__`. */
  metadata?: Record<string, string>
}

/** A PEFT adapter. */
export interface TinyPeft extends TinyAdapter {
  /** Fields of adapter_config.json that replace or join the usual ones; undefined leaves one out. */
  config?: Readonly<Record<string, unknown>>
  /** Stands in the keys, as in raw state dicts. */
  adapterName?: string
  /** Other files by name. */
  files?: Readonly<Record<string, string>>
}

/** An adapter of kohya's scripts. */
export interface TinyKohya extends TinyAdapter {
  /** Names of the factors, default `lora_down`. */
  style?: 'lora_down' | 'lora_A' | 'down'
  /** α of layers without their own; null: none. Default 1. */
  alpha?: number | null
  /** Default F32. Only values that the dtype holds can be given as F16 or BF16. */
  alphaDtype?: 'F32' | 'F64' | 'F16' | 'BF16' | 'I64' | 'I32'
}

/** Values of a written layer: B [rows × rank], A [rank × columns], kernels flattened. */
export interface TinyFactors {
  a: Float32Array
  b: Float32Array
}

/** Writes a PEFT adapter; r and lora_alpha are by default the first layer's rank and twice that. */
export function writePeftAdapter(folder: string, adapter: TinyPeft): Map<string, TinyFactors> {
  const { tensors, factors } = tinyTensors(adapter, (module, side, { kind }) => {
    const infix = adapter.adapterName === undefined ? '' : `.${adapter.adapterName}`
    const letter = side === 'a' ? 'A' : 'B'
    return kind === 'embedding'
      ? `base_model.model.${module}.lora_embedding_${letter}${infix}`
      : `base_model.model.${module}.lora_${letter}${infix}.weight`
  })
  const [first] = Object.values(adapter.layers)
  const r = first?.rank ?? 8
  const config = {
    ...{ alpha_pattern: {}, base_model_name_or_path: 'base', bias: 'none', fan_in_fan_out: false },
    ...{ inference_mode: true, init_lora_weights: true, lora_alpha: 2 * r, lora_dropout: 0.05 },
    ...{ modules_to_save: null, peft_type: 'LORA', r, rank_pattern: {} },
    ...{ target_modules: Object.keys(adapter.layers), task_type: null, use_dora: false, use_rslora: false },
    ...adapter.config,
  }
  mkdirSync(folder, { recursive: true })
  const metadata = adapter.metadata ?? { format: 'pt' }
  writeFileSync(join(folder, 'adapter_model.safetensors'), tinySafetensors({ tensors, metadata }))
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify(config, null, 2))
  for (const [name, text] of Object.entries(adapter.files ?? {})) writeFileSync(join(folder, name), text)
  return factors
}

/** Writes a file as kohya's scripts do. */
export function writeKohyaAdapter(file: string, adapter: TinyKohya): Map<string, TinyFactors> {
  const { style = 'lora_down', alpha = 1, alphaDtype = 'F32' } = adapter
  const [down, up] =
    style === 'lora_down' ? ['lora_down', 'lora_up'] : [style, style === 'down' ? 'up' : 'lora_B']
  const { tensors, factors } = tinyTensors(
    adapter,
    (module, side) => `${module}.${side === 'a' ? down : up}.weight`,
  )
  for (const [module, layer] of Object.entries(adapter.layers)) {
    const value = layer.alpha === undefined ? alpha : layer.alpha
    if (value !== null)
      tensors.set(`${module}.alpha`, { dtype: alphaDtype, shape: [], data: scalarBytes(alphaDtype, value) })
  }
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, tinySafetensors({ tensors, metadata: adapter.metadata }))
  return factors
}

function tinyTensors(
  { layers, dtype = 'F32', values = 'normal', seed = 1, rest = {} }: TinyAdapter,
  name: (module: string, side: 'a' | 'b', layer: TinyLayer) => string,
): { tensors: Map<string, TinyTensor>; factors: Map<string, TinyFactors> } {
  const random = seededRandom(seed)
  const tensors = new Map<string, TinyTensor>()
  const factors = new Map<string, TinyFactors>()
  for (const [module, layer] of Object.entries(layers)) {
    const { kind = 'linear', rows, columns, rank, kernel = [3, 3] } = layer
    const own = layer.dtype ?? dtype
    const conv = kind === 'conv2d'
    const a = factor(random, own, values, conv ? [rank, columns, ...kernel] : [rank, columns], layer.a)
    const b = factor(random, own, values, conv ? [rows, rank, ...kernel.map(() => 1)] : [rows, rank], layer.b)
    tensors.set(name(module, 'a', layer), a.tensor)
    tensors.set(name(module, 'b', layer), b.tensor)
    factors.set(module, { a: a.values, b: b.values })
  }
  for (const [key, tensor] of Object.entries(rest)) tensors.set(key, tensor)
  return { tensors, factors }
}

function factor(
  random: Random,
  dtype: FloatDtype,
  kind: FloatKind,
  shape: readonly number[],
  given: readonly number[] | undefined,
): { tensor: TinyTensor; values: Float32Array } {
  const count = shape.reduce((product, extent) => product * extent, 1)
  if (given !== undefined)
    return { tensor: { dtype: 'F32', shape, data: given }, values: new Float32Array(given) }
  const data = randomFloats(random, dtype, count, kind)
  return { tensor: { dtype, shape, data }, values: decodeFloats(dtype, data) }
}

/** F16 and BF16 by hand, for the small values that α has. */
function scalarBytes(dtype: NonNullable<TinyKohya['alphaDtype']>, value: number): Uint8Array {
  if (dtype === 'BF16') return tinyBytes('F32', [value]).subarray(2)
  if (dtype !== 'F16') return tinyBytes(dtype, [value])
  const exponent = Math.floor(Math.log2(Math.abs(value)))
  const mantissa = Math.round((Math.abs(value) / 2 ** exponent - 1) * 1024)
  return tinyBytes('F16', [(value < 0 ? 0x8000 : 0) + (exponent + 15) * 1024 + mantissa])
}
