import { mkdir, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import type { EmitTensor, EmittedTensor, SparseCodec, Threshold } from '../binding/binding-types.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { writeFileAtomic } from '../io/write-file-atomic.js'
import { buildDeltaHeader, type DeltaHeaderBytes } from '../pack/delta-header.js'
import { buildDeltaIndex } from '../pack/delta-index.js'
import type { DeltaFilePlan } from '../pack/delta-plan.js'
import { DELTA_INDEX_FILE, TASKS_FOLDER } from '../pack/pack-format.js'
import { floatBytes } from '../pack/stored-arrays.js'
import { makeBatches } from './batches.js'
import { copyWholes } from './copy-wholes.js'
import { findSame } from './find-same.js'
import { finishFile } from './finish-file.js'
import { copy } from './fold-copy.js'
import { type FoldRun, fingerprints, type PhaseProgress, runJob, type Thresholds } from './fold-run.js'
import { foldedPart, passBytes } from './merge-operands.js'
import type { MergedTargets } from './merged-targets.js'
import { planTaskFiles } from './plan-task-files.js'
import type { MergeableTensor } from './plan-tensors.js'
import type { PlannedTask } from './plan-types.js'
import { StaleJournal } from './stale-journal.js'

/** One task while its delta is written. */
interface Emission {
  run: FoldRun
  targets: MergedTargets
  task: PlannedTask
  thresholds: Thresholds
  phase: PhaseProgress
  tensors: ReadonlyMap<string, MergeableTensor>
  /** Number of the next batch, over all files of the task. */
  batch: number
  /** Scope global: ties still to be kept, in name order over all files. */
  ties: number
}

/**
 * Phase 2 for one task: emits the kept entries of its tensors, copies what is kept whole, writes the headers.
 *
 * @param run - the fold
 * @param targets - the finished merged/
 * @param task - the task
 * @param thresholds - of all tasks
 * @param phase - progress over all tasks
 * @returns entries that the task keeps
 * @throws TaskfoldError INPUT_CHANGED, FILE_TRUNCATED, IO_ERROR, DISK_FULL, CANCELLED
 */
export async function emitTask(
  run: FoldRun,
  targets: MergedTargets,
  task: PlannedTask,
  thresholds: Thresholds,
  phase: PhaseProgress,
): Promise<{ kept: number }> {
  const folder = join(run.work, TASKS_FOLDER, task.name)
  await mkdir(folder, { recursive: true })
  const ties = thresholds.scope === 'global' ? thresholds.tasks[task.place]!.ties : 0
  const tensors = new Map(run.plan.mergeable.map((tensor) => [tensor.name, tensor]))
  const emission: Emission = { run, targets, task, thresholds, phase, tensors, batch: 0, ties }
  const built: { fileName: string; stored: DeltaHeaderBytes['stored'] }[] = []
  let kept = 0
  for (const file of planTaskFiles(task, await findSame(run, task), sparseCodec(run))) {
    const path = join(folder, file.fileName)
    const emitted = await emitArrays(emission, file, path)
    for (const { kept: entries } of emitted.values()) kept += entries
    const header = buildDeltaHeader(file, emitted)
    built.push({ fileName: file.fileName, stored: header.stored })
    if (!run.completeFiles.has(familyPath(task, file))) await complete(emission, file, path, header)
    run.files.release(path)
  }
  const index = buildDeltaIndex(built)
  if (index !== null) await writeFileAtomic(join(folder, DELTA_INDEX_FILE), index)
  return { kept }
}

function sparseCodec({ plan }: FoldRun): SparseCodec {
  const { codec } = plan.settings
  if (codec !== 'step') return codec
  throw new TaskfoldError('INTERNAL', 'a stream codec keeps no entries')
}

function familyPath(task: PlannedTask, file: DeltaFilePlan): string {
  return `${TASKS_FOLDER}/${task.name}/${file.fileName}`
}

/** Writes value, index and blocks of all tensors of one file, batch by batch, each where the last one ended. */
async function emitArrays(
  emission: Emission,
  file: DeltaFilePlan,
  path: string,
): Promise<Map<string, EmittedTensor>> {
  const { run, tensors, thresholds } = emission
  const emitted = new Map<string, EmittedTensor>()
  const filled: MergeableTensor[] = []
  for (const name of file.deltas) {
    const tensor = tensors.get(name)!
    if (tensor.elements > 0) filled.push(tensor)
    else emitted.set(name, nothing(file.headerBytes))
  }
  let offset = file.headerBytes
  const batches = makeBatches(filled, thresholds.scope === 'tensor')
  run.batches.total += batches.length
  for (const batch of batches) {
    const record =
      (await earlier(emission, file, path, offset)) ?? (await emitBatch(emission, batch, path, offset))
    for (const [i, { name }] of batch.entries()) emitted.set(name, record.tensors[i]!)
    offset = record.offset
    emission.ties = record.ties
    emission.batch += 1
    emission.phase.finished(
      batch.reduce((sum, tensor) => sum + emitBytes(emission.task, tensor), 0),
      {
        task: emission.task.name,
        tensor: batch.at(-1)?.name,
      },
    )
  }
  return emitted
}

async function emitBatch(emission: Emission, batch: readonly MergeableTensor[], path: string, start: number) {
  const { run, task, phase } = emission
  const { index, values, nonFinite } = run.plan.settings
  const out = run.files.output(path)
  const job = {
    codec: sparseCodec(run),
    tensors: batch.map((tensor) => emitOperands(emission, tensor)),
    threshold: thresholdOf(emission, batch[0]!),
    index,
    values,
    out,
    offset: start,
    nonFinite,
    spill: run.spill,
    place: task.place,
  }
  const result = await runJob(run, (binding, control) => binding.emitDelta(job, control), {
    phase,
    task: task.name,
  })
  const { tensors, offset, ties } = result
  run.sync.start(out)
  const [fingerprint = ''] = await fingerprints(run, [{ file: out, offset: start, length: offset - start }])
  const record = { task: task.name, batch: emission.batch, tensors, start, offset, ties, fingerprint }
  await run.journal.append({ kind: 'emitted', ...record })
  return record
}

/** What an earlier run emitted, when its bytes are still there. */
async function earlier(emission: Emission, file: DeltaFilePlan, path: string, start: number) {
  const { run, task, batch } = emission
  const record = run.finished.emitted.get(task.name)?.get(batch)
  if (record === undefined) return null
  if (record.start !== start) throw new StaleJournal()
  if (!run.completeFiles.has(familyPath(task, file))) {
    const region = { file: run.files.output(path), offset: start, length: record.offset - start }
    const [found] = await fingerprints(run, [region]).catch(() => [null])
    if (found !== record.fingerprint) throw new StaleJournal()
  }
  run.batches.skipped += 1
  return record
}

function thresholdOf({ thresholds, task, ties }: Emission, tensor: MergeableTensor): Threshold {
  if (thresholds.scope === 'tensor') return thresholds.byName.get(tensor.name)![task.place]!
  return { key: thresholds.tasks[task.place]!.key, ties }
}

function emitOperands({ run, targets, task }: Emission, tensor: MergeableTensor): EmitTensor {
  const { name, elements, dtype } = tensor
  return {
    name,
    elements,
    dtype,
    task: foldedPart(run, tensor, tensor.tasks[task.place]!),
    merged: targets.region(name, elements * floatBytes(dtype)),
  }
}

/** Behind the arrays: tensors kept whole and new rows. The header comes last: a file without it is no file. */
async function complete(
  { run, task }: Emission,
  file: DeltaFilePlan,
  path: string,
  { header, wholes, fileBytes }: DeltaHeaderBytes,
): Promise<void> {
  const out = run.files.output(path)
  const planned = new Map(file.tensors.map((tensor) => [tensor.name, tensor]))
  await copyWholes(run, task, wholes, (name) => planned.get(name)!, out)
  await copy(run, file.fileName, header, { file: out, offset: 0, length: header.byteLength }, task.name)
  await truncate(path, fileBytes)
  await finishFile(run, familyPath(task, file), fileBytes)
}

/**
 * @param task - a task
 * @param tensor - a mergeable tensor
 * @returns bytes that emitting it reads: θ* and the task's
 */
export function emitBytes(task: PlannedTask, tensor: MergeableTensor): number {
  return passBytes({ ...tensor, tasks: [tensor.tasks[task.place]!] }, 'tasks')
}

function nothing(offset: number): EmittedTensor {
  const empty = { offset, length: 0 }
  const arrays = { value: empty, indexBytes: empty, blocks: empty, scales: empty }
  return { kept: 0, index: 'u16', values: 'plain', scale: null, blockCount: 0, ...arrays }
}
