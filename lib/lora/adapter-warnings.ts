import type { AdapterWarning } from './adapter-types.js'

/** vLLM's default of --max-lora-rank. */
const VLLM_RANK = 16

/** What of a PEFT adapter a user may stumble over. */
export interface PeftFacts {
  /** r of adapter_config.json. */
  readonly rank: number
  /** Layers with a rank of their own. */
  readonly patterns: number
  /** Modules stored whole. */
  readonly modulesToSave: readonly string[]
  /** `bias` of adapter_config.json. */
  readonly bias?: unknown
  /** `ensure_weight_tying` of adapter_config.json. */
  readonly tied?: boolean
}

/**
 * What a user of a written PEFT adapter should know.
 *
 * @param facts - about the adapter
 * @returns one sentence each
 */
export function peftWarnings(facts: PeftFacts): AdapterWarning[] {
  const { rank, patterns, modulesToSave, bias = 'none', tied = false } = facts
  const warnings: AdapterWarning[] = []
  const warn = (kind: AdapterWarning['kind'], message: string) => warnings.push({ kind, message })
  if (modulesToSave.length > 0) {
    const shown = modulesToSave.slice(0, 3).join(', ') + (modulesToSave.length > 3 ? ', …' : '')
    warn('modules-to-save', `vLLM refuses adapters with whole modules (modules_to_save: ${shown}).`)
  }
  if (bias !== 'none' && bias !== null)
    warn('vllm', `vLLM refuses adapters with biases (bias: ${JSON.stringify(bias)}).`)
  if (patterns > 0) {
    warn(
      'rank-pattern',
      `${patterns} layers have ranks of their own (rank_pattern); vLLM reads only r and reserves rank ${rank} for all.`,
    )
  }
  if (rank > VLLM_RANK)
    warn('vllm', `vLLM needs --max-lora-rank ${rank} or more; its default is ${VLLM_RANK}.`)
  if (tied) {
    warn(
      'tied',
      'ensure_weight_tying is set: PEFT ties the factors of embedding and head, which were resized each on its own.',
    )
  }
  return warnings
}
