import { compareNames } from '../checkpoint/names.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { RankedLayer } from './choose-ranks.js'

/** What all factors together may have. */
export type RankBudget =
  | {
      /** Bytes of the factors, without header and alphas. */
      readonly bytes: number
    }
  | {
      /** Parameters of the factors. */
      readonly parameters: number
    }

interface Component {
  readonly module: string
  readonly index: number
  readonly cost: number
  readonly value: number
}

/**
 * Spreads one budget over all layers. Each layer gets its first component; the others are taken in the order of σ² ÷ cost,
 * where a component of a layer costs rows + columns parameters. Ties go to the module that is first in bytewise order,
 * then to the earlier component. At the first component that does not fit, the rest of the budget is filled with those
 * that still do, in the same order. Components with σ = 0 are not taken.
 *
 * What is provable: up to the first component that does not fit, no other choice of ranks (of at least 1) with as many
 * parameters has a smaller Frobenius error. For with λ the last ratio taken, every component is taken exactly when it
 * lowers error + λ · parameters, so that sum is as small as it can be. What is filled in behind is a heuristic.
 *
 * @param layers - the adapter's layers
 * @param budget - bytes or parameters of the factors
 * @param maxRank - highest rank of any layer
 * @returns rank by module
 * @throws TaskfoldError INVALID_ARGUMENT when one component for each layer is too much; it says how much that is
 */
export function budgetRanks(
  layers: readonly RankedLayer[],
  budget: RankBudget,
  maxRank = Number.POSITIVE_INFINITY,
): Map<string, number> {
  const [limit, unit] = 'bytes' in budget ? [budget.bytes, 'bytes'] : [budget.parameters, 'parameters']
  const costOf = ({ rows, columns, bytesPerParameter }: RankedLayer) =>
    (rows + columns) * ('bytes' in budget ? bytesPerParameter : 1)
  const least = layers.reduce((sum, layer) => sum + costOf(layer), 0)
  if (limit < least) {
    throw new TaskfoldError(
      'INVALID_ARGUMENT',
      `a budget of ${limit} ${unit} is too small: one component for each of ${layers.length} layers has ${least} ${unit}`,
      { hint: `Give at least ${least} ${unit}.` },
    )
  }
  const ranks = new Map(layers.map(({ module }) => [module, 1]))
  const components = layers.flatMap((layer) => componentsOf(layer, costOf(layer), maxRank))
  components.sort((x, y) => y.value - x.value || compareNames(x.module, y.module) || x.index - y.index)
  let left = limit - least
  for (const { module, index, cost } of components) {
    // A layer's components cost the same and the budget only shrinks: behind one that does not fit, none of its does.
    if (cost > left) continue
    left -= cost
    ranks.set(module, index + 1)
  }
  return ranks
}

/** All components of a layer but its first, in descending order of σ. */
function componentsOf({ module, singularValues }: RankedLayer, cost: number, maxRank: number): Component[] {
  const components: Component[] = []
  const most = Math.min(singularValues.length, maxRank)
  for (let index = 1; index < most; index++) {
    const sigma = singularValues[index]!
    if (!(sigma > 0)) break
    components.push({ module, index, cost, value: (sigma * sigma) / cost })
  }
  return components
}
