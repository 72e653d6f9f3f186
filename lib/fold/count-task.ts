import { floatBytes } from '../pack/stored-arrays.js'
import { makeBatches } from './batches.js'
import { emitBytes } from './fold-emit.js'
import { type FoldRun, runJob, startPhase } from './fold-run.js'
import { foldedPart } from './merge-operands.js'
import type { MergedTargets } from './merged-targets.js'
import type { MergeableTensor } from './plan-tensors.js'
import type { PlannedTask } from './plan-types.js'
import { ResidualBins } from './residual-bins.js'

/** Histograms of one task: 256 take 64 MiB. */
const MAX_GROUPS = 256

/**
 * Counts the residuals of one task against the finished θ*.
 *
 * @param run - the fold
 * @param targets - the finished merged/
 * @param task - the task
 * @param coded - its coded tensors, in order
 * @returns residuals by groups of neighbouring tensors
 * @throws TaskfoldError NON_FINITE, FILE_TRUNCATED, IO_ERROR, CANCELLED
 */
export async function countTask(
  run: FoldRun,
  targets: MergedTargets,
  task: PlannedTask,
  coded: readonly MergeableTensor[],
): Promise<ResidualBins[]> {
  const groups = Math.min(MAX_GROUPS, coded.length)
  const histogram = new run.binding.Histogram({ lambdas: [0], tasks: 1, groups })
  const phase = startPhase(
    run,
    'count',
    coded.reduce((sum, tensor) => sum + emitBytes(task, tensor), 0),
  )
  let seen = 0
  for (const batch of makeBatches(coded)) {
    const tensors = batch.map((tensor) => ({
      ...{ name: tensor.name, elements: tensor.elements, dtype: tensor.dtype, base: null },
      tasks: [foldedPart(run, tensor, tensor.tasks[task.place]!)],
      merged: targets.region(tensor.name, tensor.elements * floatBytes(tensor.dtype)),
      group: Math.min(groups - 1, Math.floor((groups * seen++) / coded.length)),
    }))
    await runJob(
      run,
      (binding, control) => binding.countHistogram({ tensors, histogram }, { ...control, device: undefined }),
      { phase, task: task.name },
    )
    phase.finished(
      batch.reduce((sum, tensor) => sum + emitBytes(task, tensor), 0),
      { task: task.name, tensor: batch.at(-1)?.name },
    )
  }
  phase.done()
  return Array.from({ length: groups }, (_, group) =>
    ResidualBins.of(histogram, { lambda: 0, task: 0, group }),
  )
}
