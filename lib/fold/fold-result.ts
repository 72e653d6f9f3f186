import type { Manifest } from '../pack/pack-format.js'
import type { FoldRun } from './fold-run.js'
import type { PlanNote } from './plan-types.js'

/** What one task takes in a family. */
export interface FoldedTask {
  /** Name of the task. */
  name: string
  /** Bytes of its files in the family, index and headers included. */
  bytes: number
  /** Bytes of its original's tensors. */
  originalBytes: number
  /** bytes ÷ originalBytes; the number that people compare. */
  share: number
  /** Entries kept. */
  kept: number
  /** Entries there were to choose from. */
  elements: number
}

/** What {@link fold} did. */
export interface FoldResult {
  /** Absolute path of the family. */
  family: string
  /** In task order. */
  tasks: FoldedTask[]
  /** Bytes of merged/. */
  mergedBytes: number
  /** Bytes of merged/ and all tasks, and of the originals of all tasks. */
  totals: {
    /** The family without family.json. */
    bytes: number
    /** One model per task. */
    originalBytes: number
    /** bytes ÷ originalBytes */
    share: number
  }
  /** Wall-clock seconds. */
  seconds: number
  /** What preflight noted. */
  warnings: PlanNote[]
  /** What an earlier, killed run of the same fold had finished; null when this one began afresh. */
  resumed: {
    /** Native calls that were not made again. */
    batchesSkipped: number
    /** Native calls of the whole fold. */
    batchesTotal: number
  } | null
}

/**
 * Sums a finished fold up.
 *
 * @param run - the fold
 * @param manifest - as written
 * @param family - path of the family
 * @param facts - seconds, and whether an earlier run was continued
 * @returns the result of {@link fold}
 */
export function foldResult(
  run: FoldRun,
  manifest: Manifest,
  family: string,
  facts: { seconds: number; resumed: boolean },
): FoldResult {
  const tasks = manifest.tasks.map(({ name, bytes, originalBytes, kept, elements }) => ({
    name,
    bytes,
    originalBytes,
    share: ratio(bytes, originalBytes),
    kept,
    elements,
  }))
  const bytes = manifest.merged.bytes + tasks.reduce((sum, task) => sum + task.bytes, 0)
  const originalBytes = tasks.reduce((sum, task) => sum + task.originalBytes, 0)
  return {
    family,
    tasks,
    mergedBytes: manifest.merged.bytes,
    totals: { bytes, originalBytes, share: ratio(bytes, originalBytes) },
    seconds: facts.seconds,
    warnings: [...run.plan.notes],
    resumed: facts.resumed ? { batchesSkipped: run.batches.skipped, batchesTotal: run.batches.total } : null,
  }
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole
}
