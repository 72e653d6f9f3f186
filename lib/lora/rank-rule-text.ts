import type { RankRule } from './rank-rule.js'

/**
 * A rule in the words of the command line.
 *
 * @param rule - how ranks are chosen; null: they stay as they are
 * @param maxRank - highest rank of any layer
 * @returns for instance `rank 8`, or `energy 0.9, at most 32`
 */
export function rankRuleText(rule: RankRule | null, maxRank?: number): string {
  const cap = maxRank === undefined ? '' : `, at most ${maxRank}`
  return `${words(rule)}${cap}`
}

function words(rule: RankRule | null): string {
  if (rule === null) return 'as they are'
  switch (rule.kind) {
    case 'rank':
      return `rank ${rule.rank}`
    case 'sv-ratio':
      return `sv-ratio ${rule.ratio}`
    case 'budget':
      return `budget of ${rule.parameters} parameters`
    case 'budget-bytes':
      return `budget of ${rule.bytes} bytes`
    default:
      return `${rule.kind} ${rule.share}`
  }
}
