import { budgetRanks } from './budget-ranks.js'
import type { RankRule } from './rank-rule.js'

/** A layer as the choice of ranks sees it. */
export interface RankedLayer {
  /** Unique name. */
  readonly module: string
  /** Rows of ΔW. */
  readonly rows: number
  /** Columns of ΔW. */
  readonly columns: number
  /** Of its factors as they will be written. */
  readonly bytesPerParameter: number
  /** Of s·B·A, descending; min(rows, columns, rank) of them. Not looked at by the rule `rank`. */
  readonly singularValues: Float64Array
  /** Rank as stored. */
  readonly rank: number
}

/**
 * Chooses the rank of every layer, at least 1 and, except with the rule `rank`, at most the number of its singular
 * values. With σ₁ ≥ σ₂ ≥ … the singular values of the layer:
 *
 * - `rank`: the same q for every layer, but no more than the largest rank there is: layers below q are padded with
 *   zeros, so that the adapter has one rank, which every server reads.
 * - `energy`: the smallest q with Σᵢ≤q σᵢ² ≥ share · Σ σᵢ².
 * - `sv-ratio`: the number of σᵢ > σ₁ ÷ ratio.
 * - `sv-fro`: the smallest q with Σᵢ≤q σᵢ² ≥ share² · Σ σᵢ².
 * - `sv-cumulative`: the smallest q with Σᵢ≤q σᵢ ≥ share · Σ σᵢ.
 * - `budget`, `budget-bytes`: {@link budgetRanks}.
 *
 * The names are those of kohya's resize_lora.py. Its newer versions choose the same ranks; up to February 2026
 * (commit 48d368f) it kept one component more than its own rule says.
 *
 * @param layers - the adapter's layers
 * @param rule - the rule
 * @param maxRank - highest rank of any layer
 * @returns rank by module
 * @throws TaskfoldError INVALID_ARGUMENT when a budget has no room for one component a layer
 */
export function chooseRanks(
  layers: readonly RankedLayer[],
  rule: RankRule,
  maxRank = Number.POSITIVE_INFINITY,
): Map<string, number> {
  switch (rule.kind) {
    case 'rank': {
      const largest = layers.reduce((most, { rank }) => Math.max(most, rank), 1)
      const rank = Math.min(rule.rank, maxRank, largest)
      return new Map(layers.map(({ module }) => [module, rank]))
    }
    case 'budget':
      return budgetRanks(layers, { parameters: rule.parameters }, maxRank)
    case 'budget-bytes':
      return budgetRanks(layers, { bytes: rule.bytes }, maxRank)
    default:
      return new Map(
        layers.map(({ module, singularValues }) => [
          module,
          Math.max(1, Math.min(ownRank(singularValues, rule), singularValues.length, maxRank)),
        ]),
      )
  }
}

type LayerRule = Exclude<RankRule, { kind: 'rank' | 'budget' | 'budget-bytes' }>

function ownRank(values: Float64Array, rule: LayerRule): number {
  // A zero matrix would meet every share with no component, and its ratios are no numbers.
  if (!(values.length > 0 && values[0]! > 0)) return 1
  switch (rule.kind) {
    case 'sv-ratio': {
      const least = values[0]! / rule.ratio
      return values.filter((value) => value > least).length
    }
    case 'energy':
      return reach(values, rule.share, (value) => value * value)
    case 'sv-fro':
      return reach(values, rule.share * rule.share, (value) => value * value)
    case 'sv-cumulative':
      return reach(values, rule.share, (value) => value)
  }
}

/** The smallest number of values that together have a share of the whole. */
function reach(values: Float64Array, share: number, weigh: (value: number) => number): number {
  // Scaled by the largest, so that squares neither overflow nor vanish.
  const largest = values[0]!
  // Summed in the same order as below, so that the share 1 is reached.
  let whole = 0
  for (const value of values) whole += weigh(value / largest)
  let sum = 0
  for (const [i, value] of values.entries()) {
    sum += weigh(value / largest)
    if (sum >= share * whole) return i + 1
  }
  return values.length
}
