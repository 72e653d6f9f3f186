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

/** The sample's window holds about 1 % of all entries; each of them takes 8 bytes more. */
const WINDOW_BYTES_PER_ENTRY = 0.03 * 8

/**
 * Bytes that setting candidates aside may take on the disk while a fold runs: one bit an entry, their values, and
 * the keys of those that the sample leaves in doubt.
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
  return Math.ceil(kept * widest * SPARE + elements * (1 / 8 + WINDOW_BYTES_PER_ENTRY)) + SPARE_BYTES
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
