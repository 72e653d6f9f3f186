import { escapePattern } from './escape-pattern.js'

import { isPlainPattern, nameEnds, plainPatternFits } from './plain-pattern.js'

/** The fields of adapter_config.json that give every layer of an adapter its rank, and the scale 1. */
export interface RankFields {
  /** Largest rank: what PEFT takes for layers without a pattern, and what a server reserves. */
  readonly r: number
  /** Equal to r. */
  readonly lora_alpha: number
  /** Ranks of layers below r; empty when there are none. */
  readonly rank_pattern: Readonly<Record<string, number>>
  /** The same patterns with the same values, so that every scale α/r is 1. */
  readonly alpha_pattern: Readonly<Record<string, number>>
}

/** Comparing every pattern with every name is quick below this; above, all names are escaped. */
const MAX_COMPARISONS = 50_000_000

/**
 * Writes ranks as PEFT reads them. A pattern is the module's full name. It is a regular expression that PEFT also tries
 * on the end of other modules' names: where it would fit one of another rank, it is escaped and begins with ^. Elsewhere
 * it stays plain, because PEFT before 0.15 only finds a full name by looking it up as it is.
 *
 * @param ranks - rank by module, at least one
 * @returns the fields
 */
export function rankFields(ranks: ReadonlyMap<string, number>): RankFields {
  const r = Math.max(...new Set(ranks.values()))
  const lower = [...ranks].filter(([, rank]) => rank !== r)
  const fits = lower.length === 0 ? () => false : fitsAnother(ranks, lower.length)
  // Without a prototype "__proto__" is a key like any other.
  const rank_pattern: Record<string, number> = Object.create(null)
  for (const [module, rank] of lower) rank_pattern[fits(module) ? `^${escapePattern(module)}` : module] = rank
  return { r, lora_alpha: r, rank_pattern, alpha_pattern: rank_pattern }
}

/** Tells whether a module's plain name, as a pattern, would fit another module of another rank. */
function fitsAnother(ranks: ReadonlyMap<string, number>, patterns: number): (module: string) => boolean {
  // PEFT's prefix ends with a dot: only a whole name or what follows a dot can be fitted.
  const ends = new Map<number, { end: string; rank: number }[]>()
  let most = 0
  for (const [module, rank] of ranks) {
    for (const end of nameEnds(module)) {
      const same = ends.get(end.length) ?? []
      same.push({ end, rank })
      ends.set(end.length, same)
      most = Math.max(most, same.length)
    }
  }
  if (most * patterns > MAX_COMPARISONS) return () => true
  return (module) =>
    !isPlainPattern(module) ||
    (ends.get(module.length) ?? []).some(
      ({ end, rank }) => rank !== ranks.get(module) && plainPatternFits(module, end),
    )
}
