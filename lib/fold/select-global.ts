import type { NativeSelection } from '../binding/binding-types.js'
import { runJob, startPhase, type Thresholds } from './fold-run.js'
import { type MergeContext, mergeBatch, rememberBatch, wanted } from './merge-batch.js'
import { mergeOperands, passBytes, residualOperands } from './merge-operands.js'
import type { MergeableTensor } from './plan-tensors.js'
import { loadSnapshot, type SelectionPosition, saveSnapshot } from './selection-snapshot.js'

/** The sample reads about this share of what a full pass reads. */
const SAMPLE_SHARE = 1 / 256

/** Half the usual limit of open files. */
const MAX_SAMPLED_FILES = 512

/** A selection on its way through the passes. */
interface Walk extends SelectionPosition {
  selection: NativeSelection
}

/**
 * One threshold for each task's whole model: merges everything while counting, then counts again until exact.
 *
 * @param context - phase 1
 * @returns one threshold for each task
 */
export async function selectGlobal(context: MergeContext): Promise<Thresholds> {
  const { run, batches, phase } = context
  const { finished, plan } = run
  if (finished.thresholds !== null && allMerged(context, batches.length)) {
    for (let batch = 0; batch < batches.length; batch++) skip(context, batch)
    return { scope: 'global', tasks: finished.thresholds.thresholds }
  }
  if (batches.length === 0) {
    // Only empty tensors: nothing to rank, nothing to keep.
    return { scope: 'global', tasks: plan.tasks.map(() => ({ key: 0xffffffff, ties: 0 })) }
  }
  const walk = await begin(context)
  for (let batch = 0; batch < (walk.pass === 0 ? walk.next : batches.length); batch++) skip(context, batch)
  for (; walk.pass === 0 && walk.next < batches.length; ) {
    const tensors = batches[walk.next]!
    const result = await mergeBatch(context, walk.next, walk.selection)
    rememberBatch(run, tensors, result)
    await run.journal.append({ kind: 'merged', batch: walk.next, ...result })
    await counted(context, walk)
  }
  phase.done()
  if (walk.pass > 0) await countAgain(context, walk)
  while (!walk.selection.advance()) {
    walk.pass += 1
    walk.next = 0
    await save(context, walk)
    await countAgain(context, walk)
  }
  const thresholds = walk.selection.thresholds()
  await run.journal.append({ kind: 'thresholds', thresholds })
  return { scope: 'global', tasks: thresholds }
}

async function countAgain(context: MergeContext, walk: Walk): Promise<void> {
  const { run, targets, batches } = context
  const sizes = batches.map((tensors) => tensors.reduce((sum, tensor) => sum + passBytes(tensor, 'tasks'), 0))
  const phase = startPhase(
    run,
    'select',
    sizes.reduce((sum, bytes) => sum + bytes, 0),
  )
  run.batches.total += batches.length
  run.batches.skipped += walk.next
  phase.finished(sizes.slice(0, walk.next).reduce((sum, bytes) => sum + bytes, 0))
  while (walk.next < batches.length) {
    const tensors = batches[walk.next]!.map((tensor) => residualOperands(run, targets, tensor))
    const { selection } = walk
    const { nonFinite } = run.plan.settings
    const bytes = sizes[walk.next]!
    await runJob(
      run,
      (binding, control) => binding.countResiduals({ tensors, selection, nonFinite }, control),
      { phase },
    )
    phase.finished(bytes, { tensor: tensors.at(-1)?.name })
    await counted(context, walk)
  }
  phase.done()
}

/** Goes on from a snapshot when all that it counted is merged, else from a new sample. */
async function begin(context: MergeContext): Promise<Walk> {
  const { run, targets, batches } = context
  const { Selection } = run.binding
  const saved = await loadSnapshot(run.work, run.digest)
  if (saved !== null && allMerged(context, saved.pass === 0 ? saved.next : batches.length)) {
    const { pass, next, bytes } = saved
    return { selection: await Selection.restore(bytes), pass, next }
  }
  const selection = new Selection(wanted(run, run.plan.elements))
  const walk: Walk = { selection, pass: 0, next: 0 }
  const tensors = sampleable(batches.flat())
  const bytes = SAMPLE_SHARE * tensors.reduce((sum, tensor) => sum + passBytes(tensor, 'all'), 0)
  const phase = startPhase(run, 'sample', bytes)
  const operands = tensors.map((tensor) => mergeOperands(run, targets, tensor))
  const job = { tensors: operands, lambda: run.plan.settings.lambda, selection }
  await runJob(run, (binding, control) => binding.sampleResiduals(job, control))
  phase.done()
  await save(context, walk)
  return walk
}

/** The sample is one call over all tensors; of models in very many shards it leaves some out to stay below file limits. */
function sampleable(tensors: readonly MergeableTensor[]): MergeableTensor[] {
  const files = new Set<string>()
  return tensors.filter(({ base, tasks }) => {
    const needed = [base, ...tasks].map((info) => info.file)
    if (files.size + needed.length > MAX_SAMPLED_FILES && needed.some((file) => !files.has(file)))
      return false
    for (const file of needed) files.add(file)
    return true
  })
}

/** What is counted is saved at once: a kill costs one batch. */
async function counted(context: MergeContext, walk: Walk): Promise<void> {
  walk.next += 1
  await save(context, walk)
}

async function save({ run }: MergeContext, walk: Walk): Promise<void> {
  const { pass, next } = walk
  await saveSnapshot(run.work, run.digest, { pass, next, bytes: await walk.selection.snapshot() })
}

function allMerged({ run }: MergeContext, count: number): boolean {
  for (let batch = 0; batch < count; batch++) if (!run.finished.merged.has(batch)) return false
  return true
}

function skip({ run, batches, phase }: MergeContext, batch: number): void {
  const tensors = batches[batch]!
  rememberBatch(run, tensors, run.finished.merged.get(batch)!)
  run.batches.skipped += 1
  phase.finished(tensors.reduce((sum, tensor) => sum + passBytes(tensor, 'all'), 0))
}
