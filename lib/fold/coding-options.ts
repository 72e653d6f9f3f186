import type { FoldOptions, FoldSettings } from './fold-options.js'
import { DEFAULT_DEAD_ZONE } from './step-range.js'
import { DEFAULT_TARGET_BITS, type SizeTarget } from './stream-target.js'

const CODECS = ['exact', 'step', 'sign', 'int4'] as const

/**
 * Checks how remainders are to be coded.
 *
 * @param given - as given by the caller, trusted in nothing
 * @param bad - takes a problem and a hint
 * @returns codec, target and dead zone with defaults
 */
export function checkCoding(
  given: FoldOptions,
  bad: (message: string, hint?: string) => void,
): Pick<FoldSettings, 'codec' | 'target' | 'deadZone'> {
  const { codec = 'exact', targetBits, targetSize, deadZone = DEFAULT_DEAD_ZONE, density, nonFinite } = given
  if (!CODECS.includes(codec)) bad(`codec must be ${CODECS.join(', ')}, got ${JSON.stringify(codec)}`)
  if (typeof deadZone !== 'number' || !(deadZone >= 0.5 && deadZone <= 1)) {
    bad(`deadZone must be a number from 0.5 to 1, got ${String(deadZone)}`)
  }
  for (const [name, value] of Object.entries({ targetBits, targetSize })) {
    if (value === undefined) continue
    if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value))
      bad(`${name} must be a number above 0, got ${String(value)}`)
    if (codec !== 'step') bad(`${name} is for codec step`, `codec ${codec} takes a density`)
  }
  if (targetBits !== undefined && targetSize !== undefined)
    bad('targetBits and targetSize exclude each other', 'give one of them')
  if (codec === 'step' && density !== undefined)
    bad('density is not for codec step', 'give targetBits or targetSize')
  if (codec !== 'exact' && nonFinite === 'keep')
    bad(`codec ${codec} cannot keep NaN or infinity`, 'use codec exact, or leave nonFinite out')
  return { codec, target: codec === 'step' ? targetOf(targetBits, targetSize) : null, deadZone }
}

function targetOf(bits: number | undefined, size: number | undefined): SizeTarget {
  if (size !== undefined) return size > 1 ? { bytes: size } : { share: size }
  return { bits: bits ?? DEFAULT_TARGET_BITS }
}
