import type { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import type { LoraAdapter } from '../lora/adapter-types.js'
import { chooseRanks } from '../lora/choose-ranks.js'
import { matchBase } from '../lora/match-base.js'
import { assertPlainBase } from '../lora/plain-base.js'
import type { RankRule } from '../lora/rank-rule.js'
import type { FoldSettings } from './fold-options.js'
import type { FoldInputs, PlannedAdapter } from './plan-types.js'
import { ofTask } from './problems.js'

/**
 * Lays every LoRA task over the base.
 *
 * @param inputs - the opened models
 * @param settings - how ranks are chosen
 * @returns the adapters that fit, and a problem for each that does not
 */
export function planAdapters(
  { base, adapters }: FoldInputs,
  { rankRule, maxRank }: Pick<FoldSettings, 'rankRule' | 'maxRank'>,
): {
  adapters: PlannedAdapter[]
  problems: TaskfoldError[]
} {
  const planned: PlannedAdapter[] = []
  const problems: TaskfoldError[] = []
  for (const { name, adapter } of adapters) {
    try {
      assertPlainBase(adapter)
      if (rankRule !== null) assertRule(adapter, rankRule, maxRank)
      planned.push({ name, adapter, match: matchBase(adapter, base) })
    } catch (error) {
      problems.push(ofTask(toTaskfoldError(error, { file: adapter.folder }), name))
    }
  }
  return { adapters: planned, problems }
}

/** A budget may have no room for one component a layer, whatever the singular values are. */
function assertRule({ layers }: LoraAdapter, rule: RankRule, maxRank: number | undefined): void {
  const unknown = layers.map(({ module, rows, columns, rank, a }) => ({
    ...{ module, rows, columns, rank },
    bytesPerParameter: a.elements === 0 ? 4 : a.length / a.elements,
    singularValues: new Float64Array(Math.min(rows, columns, rank)),
  }))
  chooseRanks(unknown, rule, maxRank)
}
