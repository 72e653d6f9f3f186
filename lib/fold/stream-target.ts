import { floatBytes } from '../pack/stored-arrays.js'
import type { FoldPlan } from './plan-types.js'

/** Bits per merged parameter when nothing else is asked for: about 3 % of a 16-bit model. */
export const DEFAULT_TARGET_BITS = 0.5

/** What a remainder may take. */
export type SizeTarget =
  | {
      /** Bits per merged parameter. */
      bits: number
    }
  | {
      /** Share of the merged tensors' bytes. */
      share: number
    }
  | {
      /** Whole bytes. */
      bytes: number
    }

/** What a target is counted from. */
export interface TargetFacts extends Pick<FoldPlan, 'mergeable' | 'elements'> {
  settings: Pick<FoldPlan['settings'], 'target'>
}

/**
 * Bytes that the stream of one task may take.
 *
 * @param plan - of the fold
 * @returns whole bytes
 */
export function streamTarget({ settings, mergeable, elements }: TargetFacts): number {
  const target = settings.target ?? { bits: DEFAULT_TARGET_BITS }
  if ('bytes' in target) return Math.floor(target.bytes)
  if ('bits' in target) return Math.floor((target.bits * elements) / 8)
  const dense = mergeable.reduce((sum, tensor) => sum + tensor.elements * floatBytes(tensor.dtype), 0)
  return Math.floor(target.share * dense)
}
