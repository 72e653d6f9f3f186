import { quoteName } from '../errors/quote-name.js'
import { adapterInvalid, adapterUnsupported } from './adapter-fault.js'
import type { AdapterConfig } from './read-adapter-config.js'

/** A key of rank_pattern or alpha_pattern with its value. */
export type Pattern = readonly [key: string, value: number]

/** What of adapter_config.json decides about ranks and scales. */
export interface PeftSettings {
  /** Rank of modules that fit no rank pattern. */
  readonly rank: number
  /** α of modules that fit no alpha pattern. */
  readonly alpha: number
  /** Scale is α/√r instead of α/r. */
  readonly rslora: boolean
  /** In file order. */
  readonly rankPatterns: readonly Pattern[]
  /** In file order. */
  readonly alphaPatterns: readonly Pattern[]
}

/** Fields that make something else of the factors than s·B·A on one weight, and what PEFT calls that. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  use_dora: 'DoRA rescales each row of the merged weight',
  lora_bias: 'a bias of B is added to the layer’s bias',
  layer_replication: 'layers of the base are repeated before the adapter is laid over them',
  target_parameters: 'the factors of all experts are stacked in one tensor',
  use_qalora: 'QA-LoRA pools the inputs in groups',
  alora_invocation_tokens: 'an activated LoRA works on a part of the tokens only',
  use_bdlora: 'the factors are block-diagonal',
  arrow_config: 'Arrow chooses among adapters for each token',
  kasa_config: 'KaSA truncates the base and has a diagonal between the factors',
  monteclora_config: 'MonteCLoRA samples its factors',
  velora_config: 'VeLoRA stores more than two factors',
}

const HINT = 'Merge such an adapter into its base with PEFT (merge_and_unload), then use the merged model.'

/**
 * Checks a PEFT configuration and takes out what decides about ranks and scales.
 *
 * @param config - what readAdapterConfig gave
 * @returns the settings
 * @throws TaskfoldError ADAPTER_INVALID naming the field and its value, ADAPTER_UNSUPPORTED for variants that would come
 * out wrong
 */
export function peftSettings(config: AdapterConfig): PeftSettings {
  const { file, fields } = config
  const type = fields.peft_type
  if (typeof type !== 'string') throw wrong(file, 'peft_type', type, '"LORA"')
  if (type !== 'LORA') {
    throw adapterUnsupported(
      { file, hint: 'Only adapters of the type LORA are low-rank factors of weights.' },
      `peft_type is ${quoteName(type)}, not "LORA"`,
    )
  }
  for (const [field, why] of Object.entries(UNSUPPORTED)) {
    if (isSet(fields[field]))
      throw adapterUnsupported({ file, hint: HINT }, `${field} is set, which is not supported: ${why}`)
  }
  if (!['none', 'all', 'lora_only'].includes((fields.bias ?? 'none') as string)) {
    throw wrong(file, 'bias', fields.bias, '"none", "all" or "lora_only"')
  }
  flag(file, fields, 'fan_in_fan_out')
  return {
    rank: rank(file, 'r', fields.r),
    alpha: alpha(file, 'lora_alpha', fields.lora_alpha),
    rslora: flag(file, fields, 'use_rslora'),
    rankPatterns: patterns(config, 'rank_pattern', rank),
    alphaPatterns: patterns(config, 'alpha_pattern', alpha),
  }
}

function patterns(
  { file, fields, patternKeys }: AdapterConfig,
  field: 'rank_pattern' | 'alpha_pattern',
  check: (file: string, name: string, value: unknown) => number,
): Pattern[] {
  const object = fields[field] ?? {}
  if (typeof object !== 'object' || Array.isArray(object)) throw wrong(file, field, object, 'an object')
  const values = object as Record<string, unknown>
  return patternKeys[field].map((key) => [key, check(file, `${field}[${quoteName(key)}]`, values[key])])
}

function rank(file: string, field: string, value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) > 0) return value as number
  throw wrong(file, field, value, 'a positive integer')
}

function alpha(file: string, field: string, value: unknown): number {
  if (Number.isFinite(value)) return value as number
  throw wrong(file, field, value, 'a finite number')
}

function flag(file: string, fields: Readonly<Record<string, unknown>>, field: string): boolean {
  const value = fields[field] ?? false
  if (typeof value !== 'boolean') throw wrong(file, field, value, 'true or false')
  return value
}

/** Python's truth: PEFT asks `if config.field`. */
function isSet(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return Boolean(value)
}

function wrong(file: string, field: string, value: unknown, wanted: string) {
  const shown = value === undefined ? 'missing' : quoteName(JSON.stringify(value)).slice(1, -1)
  return adapterInvalid({ file, hint: 'Repair the field.' }, `${field} is ${shown}, not ${wanted}`)
}
