import type { IndexCode, ValueCode } from '../../lib/binding/binding-types.js'
import { byBlock, codedValues, readRiceIndex, riceIndex } from './value-codes.js'

const BLOCK = 65536

/** The arrays of a delta, unpadded; empty where its codes have none. */
export interface ReferenceDelta {
  kept: number
  index: IndexCode
  values: ValueCode
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
 * @param code - index code; 'auto' takes the smallest, u16 on a tie
 * @param coding - of the values; 'auto' takes coded when it has less than 90 % of plain's bytes
 */
export function encodeDelta(
  positions: readonly number[],
  taskBytes: Uint8Array,
  itemSize: number,
  code: IndexCode | 'auto',
  coding: 'auto' | 'plain' | 'coded' = 'plain',
): ReferenceDelta {
  const elements = taskBytes.length / itemSize
  const kept = positions.length
  const counts = byBlock(positions, elements).map((block) => block.length)
  const blockCount = counts.length
  const plain = new Uint8Array(kept * itemSize)
  positions.forEach((at, i) => {
    plain.set(taskBytes.subarray(at * itemSize, (at + 1) * itemSize), i * itemSize)
  })
  const coded = coding === 'plain' || kept === 0 ? plain : codedValues(plain, itemSize, counts)
  const values =
    coding === 'coded' || (coding === 'auto' && coded.length * 10 < plain.length * 9) ? 'coded' : 'plain'
  const blocks = new DataView(new ArrayBuffer((blockCount + 1) * 4))
  for (let b = 0; b <= blockCount; b++) {
    blocks.setUint32(b * 4, positions.filter((at) => at < b * BLOCK).length, true)
  }
  const indexes = { all: new Uint8Array(0), ...encodeIndex(positions, elements) }
  const smallest = (['u16', 'bitmap', 'rice'] as const).reduce((best, next) =>
    indexes[next].length < indexes[best].length ? next : best,
  )
  const index = code !== 'auto' ? code : kept === elements ? 'all' : smallest
  return {
    ...{ kept, index, values, blockCount, value: values === 'coded' ? coded : plain },
    indexBytes: indexes[index],
    blocks: index === 'all' ? new Uint8Array(0) : new Uint8Array(blocks.buffer),
  }
}

function encodeIndex(positions: readonly number[], elements: number) {
  const u16 = new DataView(new ArrayBuffer(2 * positions.length))
  const bitmap = new Uint8Array(Math.ceil(elements / 8))
  positions.forEach((at, i) => {
    u16.setUint16(2 * i, at % BLOCK, true)
    bitmap[at >> 3]! |= 1 << (at & 7)
  })
  return { u16: new Uint8Array(u16.buffer), bitmap, rice: riceIndex(positions, elements) }
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
  if (delta.index === 'all') return Array.from({ length: elements }, (_, i) => i)
  const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const starts = view(delta.blocks)
  const blocks = Math.ceil(elements / BLOCK)
  if (delta.index === 'rice') {
    const entries = Array.from({ length: blocks + 1 }, (_, b) => starts.getUint32(4 * b, true))
    return readRiceIndex(delta.indexBytes, entries)
  }
  const index = view(delta.indexBytes)
  const out: number[] = []
  for (let block = 0; block < blocks; block++) {
    const end = starts.getUint32((block + 1) * 4, true)
    for (let i = starts.getUint32(block * 4, true); i < end; i++) {
      out.push(block * BLOCK + index.getUint16(2 * i, true))
    }
  }
  return out
}
