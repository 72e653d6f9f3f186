import { makeBatches } from './batches.js'
import { type FoldRun, fingerprints, startPhase, type Thresholds } from './fold-run.js'
import { mergeBatch, rememberBatch } from './merge-batch.js'
import { mergeOperands, passBytes } from './merge-operands.js'
import type { MergedTargets } from './merged-targets.js'
import type { MergeableTensor } from './plan-tensors.js'
import { selectGlobal } from './select-global.js'
import { selectTensor } from './select-tensor.js'
import { StaleJournal } from './stale-journal.js'

/**
 * Phase 1: writes θ* of every mergeable tensor and finds the exact thresholds of every task.
 *
 * @param run - the fold
 * @param targets - the files of merged/
 * @returns the thresholds
 * @throws TaskfoldError NON_FINITE, FILE_TRUNCATED, IO_ERROR, DISK_FULL, CANCELLED
 */
export async function foldMerge(run: FoldRun, targets: MergedTargets): Promise<Thresholds> {
  const { mergeable, settings } = run.plan
  const filled = mergeable.filter((tensor) => tensor.elements > 0)
  const batches = makeBatches(filled, settings.scope === 'tensor')
  run.batches.total += batches.length
  await checkEarlierMerge(run, targets, batches)
  const phase = startPhase(run, 'merge', sumBytes(filled))
  const context = { run, targets, batches, phase }
  const thresholds = settings.scope === 'global' ? await selectGlobal(context) : await selectTensor(context)
  phase.done()
  return thresholds
}

/** A power cut may lose bytes that the journal says were written: what a resumed run builds on is read once more. */
async function checkEarlierMerge(
  run: FoldRun,
  targets: MergedTargets,
  batches: readonly (readonly MergeableTensor[])[],
): Promise<void> {
  for (const [batch, tensors] of batches.entries()) {
    const record = run.finished.merged.get(batch)
    if (record === undefined) continue
    const found = await fingerprints(
      run,
      tensors.map((tensor) => mergeOperands(run, targets, tensor).out!),
    )
    if (found.some((fingerprint, i) => fingerprint !== record.merged[i])) throw new StaleJournal()
  }
}

function sumBytes(tensors: readonly MergeableTensor[]): number {
  return tensors.reduce((sum, tensor) => sum + passBytes(tensor, 'all'), 0)
}

/**
 * Phase 1 of a codec that ranks nothing: merges every tensor.
 *
 * @param run - the fold
 * @param targets - the files of merged/
 * @throws TaskfoldError NON_FINITE, FILE_TRUNCATED, IO_ERROR, DISK_FULL, CANCELLED
 */
export async function foldMergeOnly(run: FoldRun, targets: MergedTargets): Promise<void> {
  const filled = run.plan.mergeable.filter((tensor) => tensor.elements > 0)
  const batches = makeBatches(filled)
  run.batches.total += batches.length
  await checkEarlierMerge(run, targets, batches)
  const phase = startPhase(run, 'merge', sumBytes(filled))
  const context = { run, targets, batches, phase }
  for (const [batch, tensors] of batches.entries()) {
    const earlier = run.finished.merged.get(batch)
    if (earlier !== undefined) {
      rememberBatch(run, tensors, earlier)
      run.batches.skipped += 1
      phase.finished(sumBytes(tensors))
      continue
    }
    const result = await mergeBatch(context, batch, null)
    rememberBatch(run, tensors, result)
    await run.journal.append({ kind: 'merged', batch, ...result })
  }
  phase.done()
}
