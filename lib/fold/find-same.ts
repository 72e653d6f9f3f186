import { type FoldRun, fingerprints } from './fold-run.js'
import type { PlannedTask } from './plan-types.js'

/**
 * Finds which of a task's kept tensors are byte for byte those of merged/, so that they need not be stored.
 *
 * @param run - the fold, merged/ complete
 * @param task - the task
 * @returns names of equal tensors
 */
export async function findSame(run: FoldRun, task: PlannedTask): Promise<Set<string>> {
  const candidates = task.tensors.filter((tensor) => tensor.kind === 'keep' && tensor.maySame)
  const found = await fingerprints(
    run,
    candidates.map(({ info }) => run.files.region(info)),
  )
  const equal = candidates.filter(({ name }, i) => run.mergedFingerprints.get(name) === found[i])
  return new Set(equal.map(({ name }) => name))
}
