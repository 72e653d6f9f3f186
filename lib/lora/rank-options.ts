import { TaskfoldError } from '../errors/taskfold-error.js'
import type { RankBudget } from './budget-ranks.js'
import type { RankRule } from './rank-rule.js'

/** The ways to choose ranks; exactly one is given. */
export interface RankOptions {
  /** One rank q for every layer. */
  rank?: number
  /** Smallest ranks that keep this share of every layer's squared Frobenius norm. */
  energy?: number
  /** kohya's sv_ratio: keep σ > σ₁ / p. */
  svRatio?: number
  /** kohya's sv_fro: keep this share of every layer's Frobenius norm. */
  svFro?: number
  /** kohya's sv_cumulative: keep this share of the sum of every layer's singular values. */
  svCumulative?: number
  /** One budget for the whole adapter, spread over its layers by singular values. */
  budget?: RankBudget
}

/** What the command line and the API call each way. */
const NAMES = 'rank, energy, svRatio, svFro, svCumulative, budget'

/**
 * Checks the options that choose ranks.
 *
 * @param options - as given by the caller, trusted in nothing
 * @returns the rule; null when none is given
 * @throws TaskfoldError INVALID_ARGUMENT for two rules, or a value out of range
 */
export function rankRuleOf(options: RankOptions): RankRule | null {
  const { rank, energy, svRatio, svFro, svCumulative, budget } = options
  const rules: RankRule[] = []
  if (rank !== undefined) rules.push({ kind: 'rank', rank: checkRank('rank', rank) })
  if (energy !== undefined) rules.push({ kind: 'energy', share: checkShare('energy', energy) })
  if (svRatio !== undefined) {
    if (!(typeof svRatio === 'number' && svRatio >= 1 && svRatio < Number.POSITIVE_INFINITY))
      throw wrong('svRatio', 'a number from 1 on', svRatio)
    rules.push({ kind: 'sv-ratio', ratio: svRatio })
  }
  if (svFro !== undefined) rules.push({ kind: 'sv-fro', share: checkShare('svFro', svFro) })
  if (svCumulative !== undefined)
    rules.push({ kind: 'sv-cumulative', share: checkShare('svCumulative', svCumulative) })
  if (budget !== undefined) rules.push(budgetRule(budget))
  if (rules.length > 1) {
    throw new TaskfoldError(
      'INVALID_ARGUMENT',
      `ranks can be chosen in one way only, got ${rules.map(({ kind }) => kind).join(' and ')}`,
      { hint: `give one of ${NAMES}; maxRank caps any of them` },
    )
  }
  return rules[0] ?? null
}

/**
 * The same where a rule is needed.
 *
 * @param options - as given by the caller
 * @returns the rule
 * @throws TaskfoldError INVALID_ARGUMENT
 */
export function requiredRankRule(options: RankOptions): RankRule {
  const rule = rankRuleOf(options)
  if (rule !== null) return rule
  throw new TaskfoldError('INVALID_ARGUMENT', 'nothing says which ranks the layers shall have', {
    hint: `give one of ${NAMES}, for instance rank: 8`,
  })
}

/**
 * Checks a rank.
 *
 * @param name - of the option
 * @param value - as given
 * @returns it
 * @throws TaskfoldError INVALID_ARGUMENT
 */
export function checkRank(name: string, value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 1) return value as number
  throw wrong(name, 'a whole number from 1 on', value)
}

function checkShare(name: string, value: unknown): number {
  if (typeof value === 'number' && value > 0 && value <= 1) return value
  throw wrong(name, 'a share above 0 and at most 1', value)
}

function budgetRule(budget: unknown): RankRule {
  const given = (typeof budget === 'object' && budget !== null ? budget : {}) as Record<string, unknown>
  const { bytes, parameters } = given
  if (bytes !== undefined && parameters === undefined)
    return { kind: 'budget-bytes', bytes: checkRank('budget.bytes', bytes) }
  if (parameters !== undefined && bytes === undefined)
    return { kind: 'budget', parameters: checkRank('budget.parameters', parameters) }
  throw wrong('budget', '{ bytes } or { parameters }', budget)
}

function wrong(name: string, expected: string, value: unknown): TaskfoldError {
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return new TaskfoldError('INVALID_ARGUMENT', `${name} must be ${expected}, got ${text}`)
}
