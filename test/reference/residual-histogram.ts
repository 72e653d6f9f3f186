import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { convertFloats, decodeFloats } from './float-convert.js'
import type { ReferenceOperand } from './merge.js'

/** One tensor's residual against θ*: counts by bits >> 16 of |u|, zeros left out, and plain sums. */
export interface ReferenceHistogram {
  counts: Map<number, number>
  squared: number
  absolute: number
  original: number
}

/**
 * @param dtype - storage dtype
 * @param task - θt
 * @param merged - θ* in the storage dtype
 */
export function residualHistogram(
  dtype: FloatDtype,
  task: ReferenceOperand,
  merged: Uint8Array,
): ReferenceHistogram {
  const values = decodeFloats(dtype, convertFloats(task.dtype, dtype, task.bytes))
  const stars = decodeFloats(dtype, merged)
  const histogram: ReferenceHistogram = { counts: new Map(), squared: 0, absolute: 0, original: 0 }
  values.forEach((value, i) => {
    const u = Math.abs(Math.fround(value - stars[i]!))
    histogram.squared += u * u
    histogram.absolute += u
    histogram.original += value * value
    if (u === 0) return
    const bin = new Uint32Array(Float32Array.of(u).buffer)[0]! >>> 16
    histogram.counts.set(bin, (histogram.counts.get(bin) ?? 0) + 1)
  })
  return histogram
}
