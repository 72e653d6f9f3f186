import type { FloatDtype, IndexCode, ValueCode } from '../binding/binding-types.js'
import type { Dtype } from '../checkpoint/checkpoint-types.js'
import { ARRAY_ALIGNMENT, BLOCK_ELEMENTS } from './pack-format.js'

/** The arrays that a delta can have, in file order; kept 0 stores none of them. */
export const ARRAY_SUFFIXES = ['value', 'index', 'blocks', 'scale'] as const

/** Name of one array. */
export type ArraySuffix = (typeof ARRAY_SUFFIXES)[number]

/** What decides which arrays a delta has, and how long they are. */
export interface DeltaShape {
  /** Of the tensor. */
  dtype: FloatDtype
  /** Of the tensor (of its first rows, when only these are coded). */
  elements: number
  /** Entries kept, at least 1. */
  kept: number
  /** Code of the positions. */
  index: IndexCode
  /** Code of the values. */
  values: ValueCode
}

/** One array of a delta as a tensor of the delta file. */
export interface StoredShape {
  /** Of the stored tensor. */
  dtype: Dtype
  /** Bytes of one element. */
  itemBytes: number
  /** Elements that carry meaning; null for entropy codes, whose length their offsets tell. */
  used: number | null
  /** Elements with the zero padding, at least. */
  least: number
  /** Elements with the zero padding, at most: the same as `least` where `used` is known. */
  most: number
}

const FLOAT_BYTES: Readonly<Record<FloatDtype, number>> = { F32: 4, F16: 2, BF16: 2, F8_E4M3: 1, F8_E5M2: 1 }
/** Elements from which on offsets of entropy codes have 8 bytes: the streams of fewer are below 2^32 bytes. */
const WIDE_ELEMENTS = 2 ** 29
/** Entries that share a scale of int4. */
const INT4_GROUP = 64
/** Two states of a stream (docs/FORMAT.md, "rANS"). */
const STATES_BYTES = 8
/** The longest table: a count and 256 frequencies of two bytes. */
const TABLE_BYTES = 514

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
 * @param delta - what decides them
 * @returns the arrays that these codes have
 */
export function storedArrays(delta: DeltaShape): Partial<Record<ArraySuffix, StoredShape>> {
  const { elements, kept, index, values } = delta
  const wide = kept >= 2 ** 32
  const shapes: Partial<Record<ArraySuffix, StoredShape>> = { value: valueArray(delta) }
  if (index !== 'all') {
    shapes.index = indexArray(delta)
    shapes.blocks = fixed(wide ? 'U64' : 'U32', wide ? 8 : 4, blockCount(elements) + 1)
  }
  if (values === 'int4') shapes.scale = fixed('F16', 2, Math.ceil(kept / INT4_GROUP))
  return shapes
}

function valueArray({ dtype, elements, kept, values }: DeltaShape): StoredShape {
  const item = FLOAT_BYTES[dtype]
  switch (values) {
    case 'plain':
      return fixed(dtype, item, kept)
    case 'sign':
      return fixed('U8', 1, Math.ceil(kept / 8))
    case 'int4':
      return fixed('U8', 1, Math.ceil(kept / 2))
    case 'coded':
      // Of each entry the low bytes as they are; a symbol takes one word at most.
      return variable(
        offsetBytes(elements) + 2 + kept * (item - 1) + STATES_BYTES,
        offsetBytes(elements) + TABLE_BYTES + kept * (item + 1) + STATES_BYTES * blockCount(elements),
      )
  }
}

function indexArray({ elements, kept, index }: DeltaShape): StoredShape {
  if (index === 'u16') return fixed('U16', 2, kept)
  if (index === 'bitmap') return fixed('U8', 1, Math.ceil(elements / 8))
  // Of each entry at most 15 low bits and the end of its gap; the gaps together have fewer ones than elements.
  const most = Math.ceil((kept * 16 + elements) / 8) + 2 * blockCount(elements)
  return variable(offsetBytes(elements) + 2, offsetBytes(elements) + most)
}

/**
 * Bytes of the offsets in front of an entropy code.
 *
 * @param elements - of the tensor
 * @returns bytes of one offset more than blocks
 */
export function offsetBytes(elements: number): number {
  return (blockCount(elements) + 1) * (elements >= WIDE_ELEMENTS ? 8 : 4)
}

/**
 * The most that any codes of a codec take; only sizes of entropy codes that a writer can choose are counted.
 *
 * @param codec - of the task
 * @param dtype - of the tensor
 * @param elements - of the tensor
 * @returns bytes of all arrays, padded
 */
export function mostArrayBytes(
  codec: 'exact' | 'sign' | 'int4',
  dtype: FloatDtype,
  elements: number,
): number {
  if (elements === 0) return 0
  const item = FLOAT_BYTES[dtype]
  const blocks = blockCount(elements)
  // A fitted table spends 8 bits on a symbol and little more; writers choose the best Rice parameter, up to 15.
  const values = {
    exact:
      elements * item +
      Math.ceil(elements / 16) +
      blocks * STATES_BYTES +
      offsetBytes(elements) +
      TABLE_BYTES,
    sign: Math.ceil(elements / 8),
    int4: Math.ceil(elements / 2),
  }[codec]
  const index = elements * 2 + blocks * 4 + offsetBytes(elements)
  const scales = codec === 'int4' ? 2 * Math.ceil(elements / INT4_GROUP) : 0
  return [values, index, (blocks + 1) * 8, scales].reduce((sum, bytes) => sum + alignedBytes(bytes), 0)
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

function alignedBytes(bytes: number): number {
  return Math.ceil(bytes / ARRAY_ALIGNMENT) * ARRAY_ALIGNMENT
}

function fixed(dtype: Dtype, itemBytes: number, used: number): StoredShape {
  const stored = alignedBytes(used * itemBytes) / itemBytes
  return { dtype, itemBytes, used, least: stored, most: stored }
}

function variable(least: number, most: number): StoredShape {
  return { dtype: 'U8', itemBytes: 1, used: null, least: alignedBytes(least), most: alignedBytes(most) }
}
