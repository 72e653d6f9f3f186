import type { FloatDtype, Threshold } from '../../lib/binding/binding-types.js'
import { convertFloats, decodeFloats } from './float-convert.js'
import type { ReferenceOperand } from './merge.js'

/** Key of every NaN: above the key of infinity. */
export const NAN_KEY = 0x7fc00000
/** Threshold key that keeps nothing. */
export const KEEP_NOTHING = 0xffffffff

const f32 = new Float32Array(1)
const u32 = new Uint32Array(f32.buffer)

/**
 * Rank of one number: the bits of |x| as an unsigned integer; NaN gives {@link NAN_KEY}.
 *
 * @param x - an f32
 */
export function magnitudeKey(x: number): number {
  if (Number.isNaN(x)) return NAN_KEY
  f32[0] = Math.abs(x)
  return u32[0]!
}

/**
 * Keys of u = θt − θ* in f32.
 *
 * @param dtype - storage dtype
 * @param task - θt, converted to dtype first
 * @param merged - θ* as bytes of dtype; null ranks θt itself
 */
export function residualKeys(
  dtype: FloatDtype,
  task: ReferenceOperand,
  merged: Uint8Array | null,
): Uint32Array {
  const thetaT = decodeFloats(dtype, convertFloats(task.dtype, dtype, task.bytes))
  const star = merged === null ? null : decodeFloats(dtype, merged)
  return Uint32Array.from(thetaT, (x, i) => magnitudeKey(star === null ? x : Math.fround(x - star[i]!)))
}

/** What a selection keeps. */
export interface ReferenceSelection {
  threshold: Threshold
  /** Per tensor: flat positions, ascending. */
  positions: number[][]
}

const INDEX_STATES = 2 ** 21

/**
 * The k largest keys over all tensors, ties to the lowest (tensor, index): sorts everything.
 *
 * @param keys - one array per tensor, in ranking order; 2^21 keys in all at most
 * @param k - how many to keep
 */
export function selectReference(keys: readonly Uint32Array[], k: number): ReferenceSelection {
  const total = keys.reduce((sum, list) => sum + list.length, 0)
  if (total > INDEX_STATES) throw new Error(`the reference ranks ${INDEX_STATES} keys at most, got ${total}`)
  // key · 2^21 + (2^21 − 1 − index) is exact in f64, so that one numeric sort orders by key, then by lowest index.
  const ranks = new Float64Array(total)
  let at = 0
  for (const list of keys) for (const key of list) ranks[at] = key * INDEX_STATES + (INDEX_STATES - 1 - at++)
  ranks.sort().reverse()
  const flat = Array.from(ranks.subarray(0, k), (rank) => INDEX_STATES - 1 - (rank % INDEX_STATES))
  flat.sort((a, b) => a - b)
  const positions = keys.map((): number[] => [])
  let start = 0
  let tensor = 0
  for (const index of flat) {
    while (index - start >= keys[tensor]!.length) start += keys[tensor++]!.length
    positions[tensor]!.push(index - start)
  }
  if (k === 0) return { threshold: { key: KEEP_NOTHING, ties: 0 }, positions }
  const key = Math.floor(ranks[k - 1]! / INDEX_STATES)
  let ties = 0
  for (let i = 0; i < k; i++) if (Math.floor(ranks[i]! / INDEX_STATES) === key) ties++
  return { threshold: { key, ties }, positions }
}
