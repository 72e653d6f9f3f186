import type { FloatDtype, IndexCode } from '../binding/binding-types.js'
import type { Dtype } from '../checkpoint/checkpoint-types.js'
import { ARRAY_ALIGNMENT, BLOCK_ELEMENTS } from './pack-format.js'

/** The three arrays of a delta; kept 0 stores none of them. */
export const ARRAY_SUFFIXES = ['value', 'index', 'blocks'] as const

/** One array of a delta as a tensor of the delta file. */
export interface StoredShape {
  dtype: Dtype
  /** Elements that carry meaning. */
  used: number
  /** Elements with the zero padding. */
  stored: number
  /** Bytes of one element. */
  itemBytes: number
}

const FLOAT_BYTES: Readonly<Record<FloatDtype, number>> = { F32: 4, F16: 2, BF16: 2, F8_E4M3: 1, F8_E5M2: 1 }

/** Dtypes that a delta can have. */
export const FLOAT_DTYPES = Object.keys(FLOAT_BYTES) as FloatDtype[]

/**
 * Bytes of one element of a floating dtype.
 *
 * @param dtype - of a delta
 * @returns 1, 2 or 4
 */
export function floatBytes(dtype: FloatDtype): number {
  return FLOAT_BYTES[dtype]
}

/**
 * Sizes of a delta's arrays, as docs/FORMAT.md defines them.
 *
 * @param dtype - of the tensor
 * @param elements - of the tensor (of its first rows, when only these are coded)
 * @param kept - entries kept, at least 1
 * @param index - code of the positions
 * @returns value, index and blocks
 */
export function storedArrays(
  dtype: FloatDtype,
  elements: number,
  kept: number,
  index: IndexCode,
): Record<(typeof ARRAY_SUFFIXES)[number], StoredShape> {
  const wide = kept >= 2 ** 32
  return {
    value: padded(dtype, FLOAT_BYTES[dtype], kept),
    index: index === 'u16' ? padded('U16', 2, kept) : padded('U8', 1, Math.ceil(elements / 8)),
    blocks: padded(wide ? 'U64' : 'U32', wide ? 8 : 4, blockCount(elements) + 1),
  }
}

/**
 * Number of blocks of a tensor.
 *
 * @param elements - of the tensor
 * @returns blocks, the last one possibly shorter
 */
export function blockCount(elements: number): number {
  return Math.ceil(elements / BLOCK_ELEMENTS)
}

function padded(dtype: Dtype, itemBytes: number, used: number): StoredShape {
  const stored = (Math.ceil((used * itemBytes) / ARRAY_ALIGNMENT) * ARRAY_ALIGNMENT) / itemBytes
  return { dtype, used, stored, itemBytes }
}
