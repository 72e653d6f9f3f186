import type { FloatDtype } from '../binding/binding-types.js'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { Dtype } from './checkpoint-types.js'

// In the order of the format's own list, which is what its official writer sorts by.
const bits: ReadonlyMap<string, number> = new Map<Dtype, number>([
  ['BOOL', 8],
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['U8', 8],
  ['I8', 8],
  ['F8_E5M2', 8],
  ['F8_E4M3', 8],
  ['F8_E8M0', 8],
  ['F8_E4M3FNUZ', 8],
  ['F8_E5M2FNUZ', 8],
  ['I16', 16],
  ['U16', 16],
  ['F16', 16],
  ['BF16', 16],
  ['I32', 32],
  ['U32', 32],
  ['F32', 32],
  ['C64', 64],
  ['F64', 64],
  ['I64', 64],
  ['U64', 64],
])

/** All dtypes of the safetensors format, in the order of its own list. */
export const DTYPES = [...bits.keys()] as readonly Dtype[]

const ranks: ReadonlyMap<string, number> = new Map(DTYPES.map((dtype, rank) => [dtype, rank]))

const floats: ReadonlySet<string> = new Set<FloatDtype>(['F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'])

const widerThan: Readonly<Record<FloatDtype, readonly FloatDtype[]>> = {
  F32: [],
  F16: ['F32'],
  BF16: ['F32'],
  F8_E4M3: ['F32', 'F16', 'BF16'],
  F8_E5M2: ['F32', 'F16', 'BF16'],
}

/**
 * Whether a string is a dtype name of the safetensors format.
 *
 * @param name - any string
 * @returns true when it is a {@link Dtype}
 */
export function isDtype(name: string): name is Dtype {
  return bits.has(name)
}

/**
 * Size of one element.
 *
 * @param dtype - a dtype
 * @returns bits, not bytes: some dtypes have 4 or 6
 */
export function dtypeBits(dtype: Dtype): number {
  return bits.get(dtype)!
}

/**
 * Position of a dtype in the format's own list; its official writer puts higher ones first.
 *
 * @param dtype - a dtype
 * @returns 0 for the first
 */
export function dtypeRank(dtype: Dtype): number {
  return ranks.get(dtype)!
}

/**
 * Whether the kernels compute with a dtype.
 *
 * @param dtype - a dtype
 * @returns true for f32, f16, bf16, f8e4m3 and f8e5m2
 */
export function isFloatDtype(dtype: Dtype): dtype is FloatDtype {
  return floats.has(dtype)
}

/**
 * Whether a conversion loses nothing.
 *
 * @param from - dtype of the values
 * @param to - dtype that they are converted to
 * @returns true when every value of `from` is a value of `to`
 */
export function widens(from: FloatDtype, to: FloatDtype): boolean {
  return from === to || widerThan[from].includes(to)
}

/**
 * Number of elements of a shape.
 *
 * @param shape - extents, non-negative integers
 * @param place - file and tensor, for the error
 * @returns their product; 1 for a scalar
 * @throws TaskfoldError SIZE_OVERFLOW above 2^53 − 1
 */
export function elementCount(
  shape: readonly number[],
  place: { file?: string; tensor?: string } = {},
): number {
  let elements = 1
  for (const extent of shape) {
    elements *= extent
    if (!Number.isSafeInteger(extent) || !Number.isSafeInteger(elements)) throw overflow(shape, place)
  }
  return elements
}

/**
 * Bytes of a tensor.
 *
 * @param dtype - its dtype
 * @param shape - its extents, non-negative integers
 * @param place - file and tensor, for errors
 * @returns elements × bits ÷ 8
 * @throws TaskfoldError SIZE_OVERFLOW above 2^53 − 1, TENSOR_SIZE_MISMATCH when the elements do not fill whole bytes
 */
export function byteLength(
  dtype: Dtype,
  shape: readonly number[],
  place: { file?: string; tensor?: string } = {},
): number {
  const elements = elementCount(shape, place)
  const size = dtypeBits(dtype)
  if (size % 8 === 0) {
    const bytes = elements * (size / 8)
    if (!Number.isSafeInteger(bytes)) throw overflow(shape, place)
    return bytes
  }
  const total = elements * size
  if (!Number.isSafeInteger(total)) throw overflow(shape, place)
  if (total % 8 !== 0) {
    const what = place.tensor === undefined ? 'a tensor' : `tensor ${quoteName(place.tensor)}`
    throw new TaskfoldError(
      'TENSOR_SIZE_MISMATCH',
      `${prefix(place)}${what} of ${elements} ${dtype} elements has ${total} bits, which are no whole bytes`,
      { ...place, hint: 'Sub-byte dtypes need a number of elements that fills whole bytes.' },
    )
  }
  return total / 8
}

function overflow(shape: readonly number[], place: { file?: string; tensor?: string }): TaskfoldError {
  const what = place.tensor === undefined ? 'a tensor' : `tensor ${quoteName(place.tensor)}`
  const shown = shape.length > 16 ? [...shape.slice(0, 16), '…'] : shape
  return new TaskfoldError(
    'SIZE_OVERFLOW',
    `${prefix(place)}the shape [${shown.join(', ')}] of ${what} is beyond 2^53 bytes`,
    { ...place, hint: 'No real tensor is that large: the file is damaged or made to deceive.' },
  )
}

const prefix = (place: { file?: string }) => (place.file === undefined ? '' : `${place.file}: `)
