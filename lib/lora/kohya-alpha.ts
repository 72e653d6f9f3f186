import type { Dtype, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { quoteName } from '../errors/quote-name.js'
import { openInput } from '../io/open-input.js'
import { readRange } from '../io/read-range.js'
import { adapterInvalid } from './adapter-fault.js'

/** A scalar's dtype: how its value is read and written. */
interface ScalarCodec {
  readonly bytes: number
  readonly read: (view: DataView) => number
  readonly write: (view: DataView, value: number) => void
}

const bits32 = new DataView(new ArrayBuffer(4))

/** Training without a save dtype writes I64 when α was given as an integer. */
const CODECS: Readonly<Partial<Record<Dtype, ScalarCodec>>> = {
  F64: { bytes: 8, read: (v) => v.getFloat64(0, true), write: (v, x) => v.setFloat64(0, x, true) },
  F32: { bytes: 4, read: (v) => v.getFloat32(0, true), write: (v, x) => v.setFloat32(0, x, true) },
  BF16: { bytes: 2, read: (v) => readBf16(v), write: (v, x) => v.setUint16(0, bf16Bits(x), true) },
  F16: {
    bytes: 2,
    read: (v) => f16Value(v.getUint16(0, true)),
    write: (v, x) => v.setUint16(0, f16Bits(x), true),
  },
  I64: {
    bytes: 8,
    read: (v) => Number(v.getBigInt64(0, true)),
    write: (v, x) => v.setBigInt64(0, BigInt(x), true),
  },
  I32: { bytes: 4, read: (v) => v.getInt32(0, true), write: (v, x) => v.setInt32(0, x, true) },
}

/**
 * Reads the α of layers.
 *
 * @param infos - their tensors, of one file
 * @param signal - stops the reading
 * @returns α by the tensor's name
 * @throws TaskfoldError ADAPTER_INVALID when one is no scalar, has another dtype than floats and integers, is not finite
 * or 0; FILE_TRUNCATED, IO_ERROR, CANCELLED
 */
export async function readAlphas(
  infos: readonly TensorInfo[],
  signal?: AbortSignal,
): Promise<Map<string, number>> {
  const alphas = new Map<string, number>()
  if (infos[0] === undefined) return alphas
  const { file } = infos[0]
  const { handle } = await openInput(file)
  try {
    for (const { name, dtype, elements, offset, length } of infos) {
      const bad = (reason: string) =>
        adapterInvalid({ file, tensor: name }, `tensor ${quoteName(name)} ${reason}`)
      const codec = CODECS[dtype]
      if (elements !== 1) throw bad(`has ${elements} elements, but an alpha is one number`)
      if (codec === undefined) throw bad(`is ${dtype}, which is no dtype of an alpha`)
      const bytes = await readRange(handle, offset, length, { file, tensor: name, signal })
      const value = codec.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength))
      if (!Number.isFinite(value)) throw bad(`is ${value}, not a finite number`)
      // kohya's networks read 0 as "no scaling", other tools as a scale of 0.
      if (value === 0) throw bad('is 0, which tools understand differently')
      alphas.set(name, value)
    }
  } finally {
    await handle.close()
  }
  return alphas
}

/**
 * An α as bytes.
 *
 * @param rank - its value: a rank, a positive integer
 * @param wanted - dtype as read, or null when there was none
 * @returns bytes and their dtype: F32 when `wanted` cannot hold the value exactly, because the scale would not be 1
 */
export function encodeAlpha(rank: number, wanted: Dtype | null): { dtype: Dtype; bytes: Uint8Array } {
  for (const dtype of [wanted ?? 'F32', 'F32'] as const) {
    const codec = CODECS[dtype]
    if (codec === undefined) continue
    const view = new DataView(new ArrayBuffer(codec.bytes))
    codec.write(view, rank)
    if (dtype === 'F32' || codec.read(view) === rank) return { dtype, bytes: new Uint8Array(view.buffer) }
  }
  throw new RangeError(`no dtype for ${rank}`)
}

function readBf16(view: DataView): number {
  bits32.setUint32(0, view.getUint16(0, true) * 0x10000)
  return bits32.getFloat32(0)
}

/** Cut off, not rounded: only values that are exact are kept. */
function bf16Bits(value: number): number {
  bits32.setFloat32(0, value)
  return bits32.getUint16(0)
}

function f16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const mantissa = bits & 1023
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15))
}

/** Of a positive integer, cut off: only values that are exact are kept. */
function f16Bits(value: number): number {
  const exponent = Math.floor(Math.log2(value))
  if (exponent > 15) return 0x7bff
  return ((exponent + 15) << 10) | (Math.floor((value / 2 ** exponent - 1) * 1024) & 1023)
}
