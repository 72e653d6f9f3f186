import type { IndexCode } from '../../lib/binding/binding-types.js'

const BLOCK = 65536

/** The three arrays of a delta, unpadded. */
export interface ReferenceDelta {
  kept: number
  index: IndexCode
  blockCount: number
  value: Uint8Array
  indexBytes: Uint8Array
  blocks: Uint8Array
}

/**
 * Bytes of the kept entries of one tensor as docs/FORMAT.md stores them.
 *
 * @param positions - flat, ascending
 * @param taskBytes - θt in the storage dtype
 * @param itemSize - bytes of one element
 * @param code - index code; 'auto' takes the smaller, u16 on a tie
 */
export function encodeDelta(
  positions: readonly number[],
  taskBytes: Uint8Array,
  itemSize: number,
  code: IndexCode | 'auto',
): ReferenceDelta {
  const elements = taskBytes.length / itemSize
  const kept = positions.length
  const bitmapBytes = Math.ceil(elements / 8)
  const index = code === 'auto' ? (2 * kept <= bitmapBytes ? 'u16' : 'bitmap') : code
  const blockCount = Math.ceil(elements / BLOCK)
  const value = new Uint8Array(kept * itemSize)
  positions.forEach((at, i) => {
    value.set(taskBytes.subarray(at * itemSize, (at + 1) * itemSize), i * itemSize)
  })
  const blocks = new DataView(new ArrayBuffer((blockCount + 1) * 4))
  for (let b = 0; b <= blockCount; b++) {
    blocks.setUint32(b * 4, positions.filter((at) => at < b * BLOCK).length, true)
  }
  const indexBytes = index === 'u16' ? new Uint8Array(2 * kept) : new Uint8Array(bitmapBytes)
  positions.forEach((at, i) => {
    if (index === 'u16') new DataView(indexBytes.buffer).setUint16(2 * i, at % BLOCK, true)
    else indexBytes[at >> 3] = indexBytes[at >> 3]! | (1 << (at & 7))
  })
  return { kept, index, blockCount, value, indexBytes, blocks: new Uint8Array(blocks.buffer) }
}

/**
 * What an emit writes for one tensor: value, index, blocks, each zero-padded to 8 bytes; nothing when none is kept.
 *
 * @param delta - from {@link encodeDelta}
 */
export function deltaBytes(delta: ReferenceDelta): Uint8Array {
  if (delta.kept === 0) return new Uint8Array(0)
  const parts = [delta.value, delta.indexBytes, delta.blocks]
  const padded = (length: number) => Math.ceil(length / 8) * 8
  const out = new Uint8Array(parts.reduce((sum, part) => sum + padded(part.length), 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += padded(part.length)
  }
  return out
}

/**
 * Reads positions back from stored arrays; the counterpart of {@link encodeDelta}.
 *
 * @param delta - arrays, padding allowed behind each
 * @param elements - elements of the tensor
 */
export function decodePositions(
  delta: Pick<ReferenceDelta, 'kept' | 'index' | 'indexBytes' | 'blocks'>,
  elements: number,
): number[] {
  if (delta.index === 'bitmap') {
    const out: number[] = []
    for (let i = 0; i < elements; i++) if ((delta.indexBytes[i >> 3]! >> (i & 7)) & 1) out.push(i)
    return out
  }
  const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const starts = view(delta.blocks)
  const index = view(delta.indexBytes)
  const out: number[] = []
  for (let block = 0; block < Math.ceil(elements / BLOCK); block++) {
    const end = starts.getUint32((block + 1) * 4, true)
    for (let i = starts.getUint32(block * 4, true); i < end; i++) {
      out.push(block * BLOCK + index.getUint16(2 * i, true))
    }
  }
  return out
}
