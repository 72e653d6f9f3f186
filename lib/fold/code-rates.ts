import type { FloatDtype } from '../binding/binding-types.js'
import { floatBytes } from '../pack/stored-arrays.js'
import type { ResidualBins } from './residual-bins.js'

/** What a code costs and what it leaves, predicted from histograms. */
export interface CodeRate {
  /** Bits of codes, values and positions; small parts (tables, block starts) as a share. */
  bits: number
  /** Σ (u − û)². */
  errorSquared: number
  /** Entries that are not zero. */
  kept: number
}

/** Levels beyond this are counted together: their share of the bits is far below what the model can say. */
const MAX_LEVELS = 4096
/** A static table of 12 bits, directory and states cost about this much more than the entropy. */
const STREAM_OVERHEAD = 1.01
/** Rice codes against the entropy of the positions. */
const RICE_OVERHEAD = 1.02
/** Kept entries that share one scale of the int4 code. */
const INT4_GROUP = 64

/**
 * The dead-zone quantiser of codec `step`: q = sign(u)·⌊|u|/Δ + 1 − deadZone⌋, coded at the entropy of q in each group.
 *
 * @param groups - residuals by group of tensors; each group has tables of its own
 * @param step - Δ
 * @param deadZone - where the first level begins, in steps
 * @returns predicted bits and error
 */
export function stepRate(groups: readonly ResidualBins[], step: number, deadZone: number): CodeRate {
  const rate: CodeRate = { bits: 0, errorSquared: 0, kept: 0 }
  for (const bins of groups) {
    const { elements } = bins
    if (elements === 0) continue
    let under = bins.below(deadZone * step)
    rate.errorSquared += under.squares
    let bits = surprise(under.count, elements)
    const { bound } = bins
    for (let q = 1; q <= MAX_LEVELS && (q - 1 + deadZone) * step < bound; q++) {
      const over = q === MAX_LEVELS ? bins.total : bins.below((q + deadZone) * step)
      const count = over.count - under.count
      const level = q * step
      // The sign is one bit more.
      bits += surprise(count, elements) + count
      const squares = over.squares - under.squares
      rate.errorSquared += Math.max(0, squares - 2 * level * (over.sum - under.sum) + level * level * count)
      rate.kept += count
      under = over
    }
    rate.bits += bits * STREAM_OVERHEAD
  }
  return rate
}

/** The codes that keep the largest entries of the model and say where they are. */
export type SparseCode = 'exact' | 'sign' | 'int4'

/**
 * Codecs `exact`, `sign` and `int4` with the same threshold for all groups.
 *
 * @param code - what a kept entry is stored as
 * @param groups - residuals by group of tensors
 * @param density - share of the entries that is kept
 * @param dtype - storage dtype, for exact's values
 * @returns predicted bits and error
 */
export function sparseRate(
  code: SparseCode,
  groups: readonly ResidualBins[],
  density: number,
  dtype: FloatDtype,
): CodeRate {
  const elements = groups.reduce((sum, bins) => sum + bins.elements, 0)
  const bound = commonThreshold(groups, density * elements)
  const rate: CodeRate = { bits: 0, errorSquared: 0, kept: 0 }
  for (const bins of groups) {
    const under = bound > 0 ? bins.below(bound) : { count: 0, sum: 0, squares: 0 }
    const kept = bins.elements - under.count
    const positions = surprise(kept, bins.elements) + surprise(under.count, bins.elements)
    const sum = bins.total.sum - under.sum
    const squares = bins.total.squares - under.squares
    rate.kept += kept
    rate.bits += Math.min(positions * RICE_OVERHEAD, bins.elements, 16 * kept) + kept * valueBits(code, dtype)
    rate.errorSquared += under.squares + keptError(code, bins, { kept, sum, squares })
  }
  return rate
}

/** The threshold that all groups share so that `kept` entries reach it. */
function commonThreshold(groups: readonly ResidualBins[], kept: number): number {
  if (kept <= 0) return Number.POSITIVE_INFINITY
  let low = 0
  let high = groups.reduce((most, bins) => Math.max(most, bins.bound), 0)
  // Enough halvings to reach the width of a bin.
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    const count = groups.reduce((sum, bins) => sum + bins.elements - bins.below(middle).count, 0)
    if (count > kept) low = middle
    else high = middle
  }
  return high
}

/** Exponents of kept values are entropy-coded: about 2.6 of 8 bits are left of them, 2 of 5 in F16. */
function valueBits(code: SparseCode, dtype: FloatDtype): number {
  if (code === 'sign') return 1
  if (code === 'int4') return 4 + 16 / INT4_GROUP
  const plain = 8 * floatBytes(dtype)
  return dtype === 'F32' || dtype === 'BF16' ? plain - 5.4 : plain
}

function keptError(
  code: SparseCode,
  bins: ResidualBins,
  { kept, sum, squares }: { kept: number; sum: number; squares: number },
): number {
  if (code === 'exact' || kept <= 0) return 0
  if (code === 'sign') return Math.max(0, squares - (sum * sum) / kept)
  // The largest of a group of 64 is about the magnitude that 1.1 % of the kept entries exceed; 7 levels reach it.
  const largest = bins.threshold(kept * (1 - 0.5 ** (1 / INT4_GROUP)))
  return (kept * (largest / 7) ** 2) / 12
}

/** Bits of `count` symbols with the share count ÷ all. */
function surprise(count: number, all: number): number {
  return count > 0 ? count * Math.log2(all / count) : 0
}

/**
 * The parameter at which a falling or rising rate reaches a target from below.
 *
 * @param bits - of a parameter, monotonic between the ends
 * @param target - bits that must not be exceeded
 * @param ends - `least` gives few bits, `most` many
 * @returns the parameter nearest to `most` with bits ≤ target
 */
export function solveRate(
  bits: (parameter: number) => number,
  target: number,
  ends: { least: number; most: number },
): number {
  if (bits(ends.most) <= target) return ends.most
  let { least, most } = ends
  for (let i = 0; i < 50; i++) {
    const middle = least > 0 && most > 0 ? Math.sqrt(least * most) : (least + most) / 2
    if (bits(middle) <= target) least = middle
    else most = middle
  }
  return least
}
