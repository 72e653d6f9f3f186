import { performance } from 'node:perf_hooks'
import { BackgroundSync } from '../binding/background-sync.js'
import { type OpenedDevice, withDevice } from '../binding/choose-device.js'
import { native } from '../binding/load-binding.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { type OutputFolder, openOutputFolder } from '../io/atomic-output.js'
import { resolveOutputTarget } from '../io/output-target.js'
import type { Manifest } from '../pack/manifest-types.js'
import type { TaskFacts } from './build-manifest.js'
import { openSpill } from './candidate-spill.js'
import { confirmTies } from './confirm-ties.js'
import { emitStream } from './emit-stream.js'
import { FileTable } from './file-table.js'
import { finishedSteps } from './finished-steps.js'
import { foldAdapters } from './fold-adapters.js'
import { copyBase, fingerprintBase } from './fold-base.js'
import { foldCopy } from './fold-copy.js'
import { emitBytes, emitTask } from './fold-emit.js'
import { finishFamily, finishMerged, removeJournal } from './fold-finish.js'
import { FoldJournal, readJournal } from './fold-journal.js'
import { foldMerge, foldMergeOnly } from './fold-merge.js'
import type { FoldOptions } from './fold-options.js'
import { assemblePlan, planFold } from './fold-plan.js'
import { type FoldResult, foldResult } from './fold-result.js'
import { type FoldRun, fingerprints, startPhase } from './fold-run.js'
import { type MergedTargets, makeMergedTargets } from './merged-targets.js'
import { inputPaths } from './output-problems.js'
import { planDigest } from './plan-digest.js'
import type { FoldPlan } from './plan-types.js'
import { throwProblems } from './problems.js'
import { StaleJournal } from './stale-journal.js'

/**
 * Folds a base and its fine-tunes into a family: one merged checkpoint and, per task, the entries that it keeps; or,
 * where a task is a LoRA adapter, factors of a lower rank over the base.
 * Inputs are only read. The output appears complete or not at all; a fold that was killed goes on where it was when it
 * is called again with the same inputs and options.
 *
 * @param options - base, tasks, output and how to fold
 * @returns paths, bytes and what is worth knowing
 * @throws TaskfoldError with the code of what went wrong; PREFLIGHT_FAILED with `problems` when there are several
 *
 * @example
 * ```ts
 * await fold({ base: 'vit-base', tasks: [{ name: 'cars', path: 'vit-cars' }], output: 'family', density: 0.05 })
 * ```
 */
export async function fold(options: FoldOptions): Promise<FoldResult> {
  const start = performance.now()
  const plan = await planFold(options)
  throwProblems(plan.problems)
  return await withDevice(options, (device) => foldPlan(plan, device, options, start))
}

async function foldPlan(
  plan: FoldPlan,
  device: OpenedDevice,
  options: FoldOptions,
  start: number,
): Promise<FoldResult> {
  native()
  const { settings, inputs } = plan
  const digest = planDigest(plan)
  const found = await readJournal(`${await resolveOutputTarget(settings.output)}.partial`)
  const open = (resume: boolean) =>
    openOutputFolder(settings.output, {
      force: settings.force,
      sync: options.sync,
      resume,
      inputs: inputPaths(inputs),
    })
  let folder = await open(found?.digest === digest)
  try {
    try {
      return await foldInto(folder, { plan, digest, device }, options, start)
    } catch (error) {
      if (!(error instanceof StaleJournal)) throw error
      await folder.discard()
      folder = await open(false)
      return await foldInto(folder, { plan, digest, device }, options, start)
    }
  } catch (error) {
    throw toTaskfoldError(error, { file: settings.output, action: 'write' })
  } finally {
    // Does nothing after a commit: whatever ended the fold otherwise, nothing half-written stays.
    await folder.discard()
  }
}

async function foldInto(
  folder: OutputFolder,
  { plan, digest, device }: Pick<FoldRun, 'plan' | 'digest' | 'device'>,
  { signal, onProgress, sync }: FoldOptions,
  start: number,
): Promise<FoldResult> {
  const binding = native()
  const files = new FileTable(binding)
  const { journal, records, continued } = await FoldJournal.open(folder.work, digest)
  const finished = finishedSteps(records)
  const run: FoldRun = {
    plan,
    digest,
    work: folder.work,
    binding,
    device,
    files,
    spill: null,
    sync: new BackgroundSync(binding, sync ?? true),
    waitForDisk: sync ?? true,
    journal,
    finished,
    signal,
    onProgress,
    mergedFingerprints: new Map(),
    baseFingerprints: new Map(),
    adapterReports: new Map(),
    completeFiles: new Map(
      [...finished.files].map(([path, { bytes, fingerprint }]) => [path, { path, bytes, fingerprint }]),
    ),
    batches: { total: 0, skipped: 0 },
  }
  try {
    // Another process came in between: what lies here belongs to another plan.
    if (folder.resumed && !continued) throw new StaleJournal()
    const confirmed = { ...run, plan: await confirmPlan(run) }
    const manifest = await runPhases(confirmed)
    files.close()
    await journal.close()
    await removeJournal(folder.work)
    await folder.commit()
    const seconds = (performance.now() - start) / 1000
    return foldResult(confirmed, manifest, folder.final, { seconds, resumed: records.length > 0 })
  } finally {
    files.close()
    await journal.close()
  }
}

async function runPhases(run: FoldRun): Promise<Manifest> {
  const { plan } = run
  // LoRA tasks alone need no θ*; with others, the merge reads and fingerprints the base.
  const facts = plan.tasks.length > 0 ? await foldModels(run) : new Map<string, TaskFacts>()
  if (plan.tasks.length === 0) await fingerprintBase(run)
  await foldAdapters(run)
  if (plan.settings.copyBase) await copyBase(run)
  return await finishFamily(run, facts)
}

/** θ* and the remainders of full fine-tunes; answers what the manifest says of each. */
async function foldModels(run: FoldRun): Promise<Map<string, TaskFacts>> {
  const targets = await makeMergedTargets(run)
  if (run.plan.settings.codec === 'step') return await foldStreams(run, targets)
  const spill = openSpill(run)
  try {
    return await foldDeltas({ ...run, spill }, targets)
  } finally {
    spill?.close()
  }
}

/** Nothing is ranked: every task is coded once θ* is there. */
async function foldStreams(run: FoldRun, targets: MergedTargets): Promise<Map<string, TaskFacts>> {
  await foldMergeOnly(run, targets)
  await completeMerged(run, targets)
  const facts = new Map<string, TaskFacts>()
  for (const task of run.plan.tasks) facts.set(task.name, await emitStream(run, targets, task))
  return facts
}

async function foldDeltas(run: FoldRun, targets: MergedTargets): Promise<Map<string, TaskFacts>> {
  const thresholds = await foldMerge(run, targets)
  await completeMerged(run, targets)
  const { tasks, mergeable } = run.plan
  const bytes = tasks.flatMap((task) => mergeable.map((tensor) => emitBytes(task, tensor)))
  const phase = startPhase(
    run,
    'write deltas',
    bytes.reduce((sum, size) => sum + size, 0),
  )
  const facts = new Map<string, TaskFacts>()
  for (const task of tasks) facts.set(task.name, await emitTask(run, targets, task, thresholds, phase))
  phase.done()
  return facts
}

/** What of merged/ is not merged. */
async function completeMerged(run: FoldRun, targets: MergedTargets): Promise<void> {
  await foldCopy(run, targets)
  await finishMerged(run, targets)
}

/** Preflight looked at a few bytes of tied tensors; now all of them are compared. */
async function confirmPlan(run: FoldRun): Promise<FoldPlan> {
  const { plan } = run
  if (plan.ties.length === 0) return plan
  const groups = plan.ties.map(({ of, names }) => [of, ...names])
  const ties = await confirmTies(plan.inputs, groups, async (_model, tensors) => {
    const found = await fingerprints(
      run,
      tensors.map((tensor) => run.files.region(tensor)),
    )
    return new Map(
      tensors.map(({ name, dtype, shape }, i) => [name, `${dtype}[${shape.join(',')}]${found[i]}`]),
    )
  })
  if (JSON.stringify(ties) === JSON.stringify(plan.ties)) return plan
  const changed = await assemblePlan(plan.settings, plan.inputs, ties, [], run.signal)
  throwProblems(changed.problems)
  return changed
}
