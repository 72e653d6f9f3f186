import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { encodeFloats, FLOAT_FIELDS } from '../reference/float-convert.js'
import type { Random } from './random.js'

/**
 * What the values look like. `normal`: weights; `few`: a handful of values, so that ties abound; `bits`: any finite
 * pattern; `tiny`: zeros, −0 and subnormals; `wild`: weights with some ±Inf; `same`: one value.
 */
export type FloatKind = 'normal' | 'few' | 'bits' | 'tiny' | 'wild' | 'same'

/** All kinds that hold no NaN and give none when two of them are merged, except `wild` (Inf − Inf). */
export const FLOAT_KINDS: readonly FloatKind[] = ['normal', 'few', 'bits', 'tiny', 'same']

const FEW = [0, -0, 0.25, -0.25, 0.5, 1, -1, 1.5]

/**
 * Random values of a dtype as little-endian bytes, without NaN.
 *
 * @param random - source
 * @param dtype - dtype of the bytes
 * @param count - how many values
 * @param kind - what they look like
 */
export function randomFloats(random: Random, dtype: FloatDtype, count: number, kind: FloatKind): Uint8Array {
  const { bytes, infinities } = FLOAT_FIELDS[dtype]
  if (kind === 'bits' || kind === 'tiny') return randomPatterns(random, dtype, count, kind)
  const constant = random.normal()
  const values = new Float32Array(count)
  for (let i = 0; i < count; i++) {
    if (kind === 'few') values[i] = random.pick(FEW)
    else if (kind === 'same') values[i] = constant
    else if (kind === 'wild' && infinities && random.chance(0.002)) values[i] = random.pick([1 / 0, -1 / 0])
    else values[i] = random.normal() * (bytes === 1 ? 2 : 0.05)
  }
  return encodeFloats(dtype, values)
}

/** Halves the exponent range of `bits` so that sums of a few do not overflow; `tiny` keeps the exponent at 0. */
function randomPatterns(random: Random, dtype: FloatDtype, count: number, kind: 'bits' | 'tiny'): Uint8Array {
  const { bytes, mantissaBits, exponentBits } = FLOAT_FIELDS[dtype]
  const out = new Uint8Array(count * bytes)
  const view = new DataView(out.buffer)
  const exponents = kind === 'tiny' ? 1 : 2 ** (exponentBits - 1)
  for (let i = 0; i < count; i++) {
    const mantissa = kind === 'tiny' && random.chance(0.5) ? random.below(3) : random.below(2 ** mantissaBits)
    const magnitude = random.below(exponents) * 2 ** mantissaBits + mantissa
    const bits = magnitude + (random.chance(0.5) ? 2 ** (bytes * 8 - 1) : 0)
    if (bytes === 4) view.setUint32(i * 4, bits, true)
    else if (bytes === 2) view.setUint16(i * 2, bits, true)
    else view.setUint8(i, bits)
  }
  return out
}

/**
 * A fine-tune of a tensor: the base's values with changes at some places, as bytes of a dtype.
 *
 * @param random - source
 * @param base - values before tuning
 * @param dtype - dtype of the result
 * @param options - `changed`: share of changed entries; `step`: deviation of a change; `few`: changes from a few values
 */
export function tunedFloats(
  random: Random,
  base: Float32Array,
  dtype: FloatDtype,
  options: { changed: number; step: number; few: boolean },
): Uint8Array {
  const values = base.slice()
  for (let i = 0; i < values.length; i++) {
    if (!random.chance(options.changed)) continue
    values[i] = values[i]! + (options.few ? random.pick(FEW) : random.normal()) * options.step
  }
  return encodeFloats(dtype, values)
}

/**
 * Puts NaN with random payloads and signs at a few places.
 *
 * @param random - source
 * @param dtype - dtype of the bytes
 * @param data - changed in place
 * @returns data
 */
export function sprinkleNan(random: Random, dtype: FloatDtype, data: Uint8Array): Uint8Array {
  const { bytes, mantissaBits, infinities } = FLOAT_FIELDS[dtype]
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const unit = 2 ** mantissaBits
  for (let i = 0; i < data.length / bytes; i++) {
    if (!random.chance(0.003)) continue
    // All exponent bits set, and any mantissa but 0; in f8e4m3 all mantissa bits too.
    const mantissa = infinities ? 1 + random.below(unit - 1) : unit - 1
    const bits = 2 ** (bytes * 8 - 1) - unit + mantissa + (random.chance(0.5) ? 2 ** (bytes * 8 - 1) : 0)
    if (bytes === 4) view.setUint32(i * 4, bits, true)
    else if (bytes === 2) view.setUint16(i * 2, bits, true)
    else view.setUint8(i, bits)
  }
  return data
}
