import type { MergeJob } from '../binding/binding-types.js'
import { taskArithmetic } from '../merge/task-arithmetic.js'
import { type FoldRun, type PhaseProgress, runJob } from './fold-run.js'
import { keptCount } from './kept-count.js'
import { mergeOperands, passBytes } from './merge-operands.js'
import type { MergedTargets } from './merged-targets.js'
import type { MergeableTensor } from './plan-tensors.js'

/** What the selection of either scope needs to merge a batch. */
export interface MergeContext {
  run: FoldRun
  targets: MergedTargets
  /** Tensors with elements, in the order and grouping of the native calls. */
  batches: readonly (readonly MergeableTensor[])[]
  phase: PhaseProgress
}

/**
 * Merges one batch.
 *
 * @param context - phase 1
 * @param batch - its number
 * @param selection - counts in the same pass
 * @returns fingerprints of θ* and θ0, in the order of the batch
 */
export async function mergeBatch(
  { run, targets, batches, phase }: MergeContext,
  batch: number,
  selection: MergeJob['selection'],
): Promise<{ merged: string[]; base: string[] }> {
  const { settings } = run.plan
  const { spill } = run
  const tensors = batches[batch]!
  const job = taskArithmetic.job(
    tensors.map((tensor) => mergeOperands(run, targets, tensor)),
    settings,
  )
  const result = await runJob(
    run,
    (binding, control) =>
      binding.mergeTensors({ ...job, selection, spill, nonFinite: settings.nonFinite }, control),
    { phase },
  )
  const { file } = targets.places.get(tensors.at(-1)!.name)!
  run.sync.start(run.files.output(file))
  phase.finished(sumBytes(tensors), { tensor: tensors.at(-1)?.name })
  return result
}

/**
 * Keeps the fingerprints of a merged batch for the manifest.
 *
 * @param run - the fold
 * @param tensors - of the batch
 * @param result - fingerprints of θ* and θ0
 */
export function rememberBatch(
  run: FoldRun,
  tensors: readonly MergeableTensor[],
  result: { merged: string[]; base: string[] },
): void {
  for (const [i, tensor] of tensors.entries()) {
    run.mergedFingerprints.set(tensor.name, result.merged[i]!)
    run.baseFingerprints.set(tensor.name, result.base[i]!)
  }
}

/**
 * k of every task.
 *
 * @param run - the fold
 * @param elements - n that is chosen from
 * @returns one entry a task, for a new selection
 */
export function wanted(run: FoldRun, elements: number): { k: number; elements: number }[] {
  const k = keptCount(run.plan.settings.density, elements)
  return run.plan.tasks.map(() => ({ k, elements }))
}

function sumBytes(tensors: readonly MergeableTensor[]): number {
  return tensors.reduce((sum, tensor) => sum + passBytes(tensor, 'all'), 0)
}
