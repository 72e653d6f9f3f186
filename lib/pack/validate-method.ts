import type { JsonFields } from './json-fields.js'
import type {
  ManifestLoraMethod,
  ManifestMergeMethod,
  ManifestMethod,
  ManifestRankRule,
  ManifestTarget,
} from './manifest-types.js'

const RULES = ['rank', 'energy', 'sv-fro', 'sv-cumulative', 'sv-ratio', 'budget', 'budget-bytes'] as const
const CODECS = ['exact', 'sign', 'int4', 'step'] as const
const MERGE_FIELDS = ['merge', 'lambda', 'codec', 'target', 'density', 'scope', 'nonFinite', 'dtype']

/**
 * Checks `method`: what belongs to θ* is there exactly when the family has it, what belongs to LoRA tasks likewise.
 *
 * @param fields - the object
 * @param has - which of both the family has
 * @returns the method, rebuilt from checked values
 * @throws TaskfoldError PACK_INVALID
 */
export function validateMethod(fields: JsonFields, has: { merged: boolean; lora: boolean }): ManifestMethod {
  if (!has.lora && fields.has('lora')) throw fields.wrong('lora', 'absent in a family without LoRA tasks')
  const lora = has.lora ? loraMethod(fields.object('lora')) : undefined
  if (has.merged || lora === undefined) {
    const merge = mergeMethod(fields)
    return lora === undefined ? merge : { ...merge, lora }
  }
  for (const key of MERGE_FIELDS) {
    if (fields.has(key)) throw fields.wrong(key, 'absent in a family of LoRA tasks alone')
  }
  return { lora }
}

function mergeMethod(fields: JsonFields): ManifestMergeMethod {
  return {
    merge: fields.oneOf('merge', ['task-arithmetic']),
    lambda: fields.number('lambda', -3.5e38, 3.5e38),
    ...(fields.has('codec') ? { codec: fields.oneOf('codec', CODECS) } : {}),
    ...(fields.has('target') ? { target: target(fields.object('target')) } : {}),
    density: fields.number('density', 0, 1),
    scope: fields.oneOf('scope', ['global', 'tensor']),
    nonFinite: fields.oneOf('nonFinite', ['error', 'keep']),
    dtype: fields.oneOf('dtype', ['keep', 'F32', 'F16', 'BF16']),
  }
}

function target(fields: JsonFields): ManifestTarget {
  if (fields.has('bytes')) return { bytes: fields.count('bytes') }
  return { bits: fields.number('bits', 0, Number.MAX_VALUE) }
}

function loraMethod(fields: JsonFields): ManifestLoraMethod {
  const rule = fields.value('rule') === null ? null : rankRule(fields.object('rule'))
  if (!fields.has('maxRank')) return { rule }
  return { rule, maxRank: wholeFrom1(fields, 'maxRank') }
}

function rankRule(fields: JsonFields): ManifestRankRule {
  const kind = fields.oneOf('kind', RULES)
  switch (kind) {
    case 'rank':
      return { kind, rank: wholeFrom1(fields, 'rank') }
    case 'sv-ratio':
      return { kind, ratio: fields.number('ratio', 1, Number.MAX_VALUE) }
    case 'budget':
      return { kind, parameters: wholeFrom1(fields, 'parameters') }
    case 'budget-bytes':
      return { kind, bytes: wholeFrom1(fields, 'bytes') }
    default:
      return { kind, share: fields.number('share', 0, 1) }
  }
}

function wholeFrom1(fields: JsonFields, key: string): number {
  const value = fields.count(key)
  if (value === 0) throw fields.wrong(key, 'a whole number from 1 on')
  return value
}
