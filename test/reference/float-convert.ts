import type { FloatDtype } from '../../lib/binding/binding-types.js'

/** A binary float by its fields. `infinities` false is the FN family: only the all-ones pattern is NaN. */
interface FloatFields {
  bytes: 1 | 2 | 4
  mantissaBits: number
  exponentBits: number
  infinities: boolean
  canonicalNan: number
}

/** Field widths of the five dtypes; the exponent bias is 2^(exponentBits − 1) − 1 in all of them. */
export const FLOAT_FIELDS: Record<FloatDtype, FloatFields> = {
  F32: { bytes: 4, mantissaBits: 23, exponentBits: 8, infinities: true, canonicalNan: 0x7fc00000 },
  F16: { bytes: 2, mantissaBits: 10, exponentBits: 5, infinities: true, canonicalNan: 0x7e00 },
  BF16: { bytes: 2, mantissaBits: 7, exponentBits: 8, infinities: true, canonicalNan: 0x7fc0 },
  F8_E4M3: { bytes: 1, mantissaBits: 3, exponentBits: 4, infinities: false, canonicalNan: 0x7f },
  F8_E5M2: { bytes: 1, mantissaBits: 2, exponentBits: 5, infinities: true, canonicalNan: 0x7f },
}

/** The five dtypes, widest first. */
export const FLOAT_DTYPES: readonly FloatDtype[] = ['F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2']

/**
 * The number that a bit pattern stands for. Exact: every value of the five dtypes is an f64 (and an f32).
 *
 * @param dtype - how to read the pattern
 * @param bits - unsigned, as wide as the dtype
 */
export function decodeFloat(dtype: FloatDtype, bits: number): number {
  const { bytes, mantissaBits, exponentBits, infinities } = FLOAT_FIELDS[dtype]
  const bias = 2 ** (exponentBits - 1) - 1
  const top = 2 ** exponentBits - 1
  const unit = 2 ** mantissaBits
  const sign = bits >= 2 ** (bytes * 8 - 1) ? -1 : 1
  const exponent = Math.floor(bits / unit) % 2 ** exponentBits
  const mantissa = bits % unit
  if (exponent === top) {
    if (infinities) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
    if (mantissa === unit - 1) return Number.NaN
  }
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissaBits)
  return sign * (unit + mantissa) * 2 ** (exponent - bias - mantissaBits)
}

function roundHalfEven(x: number): number {
  const low = Math.floor(x)
  const rest = x - low
  if (rest !== 0.5) return rest > 0.5 ? low + 1 : low
  return low % 2 === 0 ? low : low + 1
}

const f64 = new DataView(new ArrayBuffer(8))

/** floor(log2 x) of a positive f32, which is a normal f64: the exponent field itself. */
function exponentOf(x: number): number {
  f64.setFloat64(0, x)
  return (f64.getUint16(0) >> 4) - 1023
}

/**
 * The nearest bit pattern, ties to the even one, subnormals kept. Above the range: infinity with the sign, in f8e4m3
 * NaN with the sign. NaN gives the canonical positive NaN.
 *
 * @param dtype - target
 * @param x - an f32 (for F32: any number, rounded to it)
 */
export function encodeFloat(dtype: FloatDtype, x: number): number {
  const { bytes, mantissaBits, exponentBits, infinities, canonicalNan } = FLOAT_FIELDS[dtype]
  if (Number.isNaN(x)) return canonicalNan
  const bias = 2 ** (exponentBits - 1) - 1
  const top = 2 ** exponentBits - 1
  const unit = 2 ** mantissaBits
  const sign = x < 0 || Object.is(x, -0) ? 2 ** (bytes * 8 - 1) : 0
  const magnitude = Math.abs(x)
  // The pattern just above the largest finite one: infinity, or NaN where there is none.
  const overflow = infinities ? top * unit : top * unit + unit - 1
  if (magnitude === Number.POSITIVE_INFINITY) return sign + overflow
  if (magnitude === 0) return sign
  const exponent = Math.max(exponentOf(magnitude), 1 - bias)
  // Counted in steps of the last place; unit steps more for every binade above the subnormals.
  const steps = roundHalfEven(magnitude / 2 ** (exponent - mantissaBits))
  return sign + Math.min((exponent + bias - 1) * unit + steps, overflow)
}

/**
 * Reads little-endian bytes of a dtype as numbers.
 *
 * @param dtype - how to read
 * @param bytes - a multiple of the dtype's size
 */
export function decodeFloats(dtype: FloatDtype, bytes: Uint8Array): Float32Array {
  const size = FLOAT_FIELDS[dtype].bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const table = size === 4 ? null : decodeTable(dtype)
  const out = new Float32Array(bytes.byteLength / size)
  for (let i = 0; i < out.length; i++) {
    if (size === 4) out[i] = view.getFloat32(i * 4, true)
    else out[i] = table![size === 2 ? view.getUint16(i * 2, true) : view.getUint8(i)]!
  }
  return out
}

const tables = new Map<FloatDtype, Float32Array>()

/** All patterns of a narrow dtype, decoded once. */
function decodeTable(dtype: FloatDtype): Float32Array {
  let table = tables.get(dtype)
  if (table === undefined) {
    table = new Float32Array(2 ** (FLOAT_FIELDS[dtype].bytes * 8))
    for (let bits = 0; bits < table.length; bits++) table[bits] = decodeFloat(dtype, bits)
    tables.set(dtype, table)
  }
  return table
}

/**
 * Writes numbers as little-endian bytes of a dtype.
 *
 * @param dtype - target
 * @param values - f32 values
 */
export function encodeFloats(dtype: FloatDtype, values: ArrayLike<number>): Uint8Array {
  const size = FLOAT_FIELDS[dtype].bytes
  const out = new Uint8Array(values.length * size)
  const view = new DataView(out.buffer)
  for (let i = 0; i < values.length; i++) {
    const bits = encodeFloat(dtype, values[i]!)
    if (size === 4) view.setUint32(i * 4, bits, true)
    else if (size === 2) view.setUint16(i * 2, bits, true)
    else view.setUint8(i, bits)
  }
  return out
}

/**
 * Converts bytes between dtypes; the same dtype is a copy, NaN payloads included.
 *
 * @param from - dtype of the bytes
 * @param to - dtype wanted
 * @param bytes - little-endian values
 */
export function convertFloats(from: FloatDtype, to: FloatDtype, bytes: Uint8Array): Uint8Array {
  return from === to ? bytes.slice() : encodeFloats(to, decodeFloats(from, bytes))
}
