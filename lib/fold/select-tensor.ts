import type { Threshold } from '../binding/binding-types.js'
import { runJob, type Thresholds } from './fold-run.js'
import { type MergeContext, mergeBatch, rememberBatch, wanted } from './merge-batch.js'
import { mergeOperands, passBytes, residualOperands } from './merge-operands.js'

/**
 * One threshold for each tensor of each task. Every batch is one tensor, finished with its passes before the next.
 *
 * @param context - phase 1
 * @returns thresholds in task order, by tensor
 */
export async function selectTensor(context: MergeContext): Promise<Thresholds> {
  const { run, targets, batches, phase } = context
  const { lambda, nonFinite } = run.plan.settings
  const byName = new Map<string, Threshold[]>()
  for (const [batch, tensors] of batches.entries()) {
    const tensor = tensors[0]!
    const earlier = run.finished.merged.get(batch)
    if (earlier?.thresholds !== undefined) {
      rememberBatch(run, tensors, earlier)
      byName.set(tensor.name, earlier.thresholds[0]!)
      run.batches.skipped += 1
      phase.finished(passBytes(tensor, 'all'))
      continue
    }
    const selection = new run.binding.Selection(wanted(run, tensor.elements))
    const sample = { tensors: [mergeOperands(run, targets, tensor)], lambda, selection }
    await runJob(run, (binding, control) => binding.sampleResiduals(sample, control))
    const result = await mergeBatch(context, batch, selection)
    while (!selection.advance()) {
      const count = { tensors: [residualOperands(run, targets, tensor)], selection, nonFinite }
      await runJob(run, (binding, control) => binding.countResiduals(count, control))
    }
    const thresholds = selection.thresholds()
    rememberBatch(run, tensors, result)
    byName.set(tensor.name, thresholds)
    await run.journal.append({ kind: 'merged', batch, ...result, thresholds: [thresholds] })
  }
  return { scope: 'tensor', byName }
}
