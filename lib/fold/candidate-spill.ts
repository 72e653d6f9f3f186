import type { NativeSpill } from '../binding/binding-types.js'
import { floatBytes } from '../pack/stored-arrays.js'
import type { FoldRun } from './fold-run.js'
import { keptCount } from './kept-count.js'
import type { FoldPlan } from './plan-types.js'

/** Above this share, candidates would take more disk and time than reading the inputs again. */
const MAX_DENSITY = 0.25

/** Candidates over kept entries: the sample's margin, ties, uneven tensors. */
const SPARE = 1.5

/** Margin of very small models, in bytes. */
const SPARE_BYTES = 1024 * 1024

/** Position in a block. */
const POSITION_BYTES = 2

/**
 * Bytes that setting candidates aside may take on the disk while a fold runs: position, value and θ* of each.
 *
 * @param plan - what is folded
 * @returns bytes for each task; null when it does not pay
 */
export function spillBytes({
  settings,
  mergeable,
  elements,
}: Pick<FoldPlan, 'settings' | 'mergeable' | 'elements'>): number | null {
  const kept = keptCount(settings.density, elements)
  if (kept === 0 || settings.density > MAX_DENSITY) return null
  const widest = mergeable.reduce((most, { dtype }) => Math.max(most, floatBytes(dtype)), 0)
  return Math.ceil(kept * (2 * widest + POSITION_BYTES) * SPARE) + SPARE_BYTES
}

/**
 * Makes room for the candidates of a fold, so that its inputs are read only once. The bytes of the family are the same
 * with and without.
 *
 * @param run - the fold
 * @returns a spill to be closed; null on a GPU, where it does not pay, and where the disk has no room beside the family
 */
export function openSpill(run: FoldRun): NativeSpill | null {
  const { plan, device, binding, work } = run
  const bytes = spillBytes(plan)
  const { freeBytes, totalBytes } = plan.predicted
  if (bytes === null || device.set !== undefined || freeBytes === null) return null
  if (totalBytes + bytes * plan.tasks.length > freeBytes) return null
  return new binding.CandidateSpill(
    `${work}/candidates`,
    plan.tasks.map(() => ({ bytes })),
  )
}
