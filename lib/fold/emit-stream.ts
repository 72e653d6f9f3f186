import { mkdir, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import type { CodecTensor, CodedResult, NativeFile } from '../binding/binding-types.js'
import { matrixShape } from '../pack/open-stream.js'
import { TASKS_FOLDER } from '../pack/pack-format.js'
import { floatBytes } from '../pack/stored-arrays.js'
import {
  layoutStreamFile,
  planStreamFile,
  type StreamFilePlan,
  type StreamLayout,
} from '../pack/stream-plan.js'
import { makeBatches } from './batches.js'
import type { TaskFacts } from './build-manifest.js'
import { copyWholes } from './copy-wholes.js'
import { countTask } from './count-task.js'
import { findSame } from './find-same.js'
import { findStep } from './find-step.js'
import { finishFile } from './finish-file.js'
import { copy } from './fold-copy.js'
import { emitBytes } from './fold-emit.js'
import { type FoldRun, runJob, startPhase } from './fold-run.js'
import { foldedPart } from './merge-operands.js'
import type { MergedTargets } from './merged-targets.js'
import { packTensor } from './plan-task-files.js'
import type { MergeableTensor } from './plan-tensors.js'
import type { PlannedTask } from './plan-types.js'
import { streamTarget } from './stream-target.js'

/** One coding of a task: what it gave, and its bytes. */
interface Coding extends CodedResult {
  /** Of tables, directory and codes. */
  bytes: number
}

/**
 * Phase 2 for one task with codec step: finds the step, codes the remainder, copies what is kept whole, writes the header.
 *
 * @param run - the fold
 * @param targets - the finished merged/
 * @param task - the task
 * @returns what the manifest says of it
 * @throws TaskfoldError NON_FINITE, INPUT_CHANGED, FILE_TRUNCATED, IO_ERROR, DISK_FULL, CANCELLED
 */
export async function emitStream(
  run: FoldRun,
  targets: MergedTargets,
  task: PlannedTask,
): Promise<TaskFacts> {
  const folder = join(run.work, TASKS_FOLDER, task.name)
  await mkdir(folder, { recursive: true })
  const inside = `${TASKS_FOLDER}/${task.name}/delta.safetensors`
  const earlier = run.finished.coded.get(task.name)
  run.batches.total += 1
  if (earlier !== undefined && run.completeFiles.has(inside)) {
    run.batches.skipped += 1
    return { kept: earlier.kept, loss: earlier.loss }
  }
  const coded = run.plan.mergeable.filter((tensor) => tensor.elements > 0)
  const plan = planFile(task, await findSame(run, task), coded.length > 0)
  const path = join(folder, plan.fileName)
  const out = run.files.output(path)
  const { step, result } = await codeTask(run, targets, task, coded, out, plan.headerBytes)
  const { codesBytes: codes, tables, directory } = result
  const layout = layoutStreamFile(plan, step, {
    codes,
    tables: tables.length,
    directory: directory.length,
  })
  await truncate(path, layout.arrays.codes + codes)
  await writeArrays(run, task, out, layout, result)
  await copyWholes(run, task, layout.wholes, (name) => plan.header.tensors.get(name)!, out)
  const { header } = layout
  await copy(run, plan.fileName, header, { file: out, offset: 0, length: header.byteLength }, task.name)
  await truncate(path, layout.fileBytes)
  const elements = coded.reduce((sum, tensor) => sum + tensor.elements, 0)
  const emitted = {
    kept: result.kept,
    loss: {
      step,
      bits: elements === 0 ? 0 : (8 * result.bytes) / elements,
      relativeError:
        result.residualSquared === 0 ? 0 : Math.sqrt(result.errorSquared / result.residualSquared),
    },
  }
  await run.journal.append({ kind: 'coded', task: task.name, ...emitted })
  await finishFile(run, inside, layout.fileBytes)
  run.files.release(path)
  return emitted
}

function planFile(task: PlannedTask, same: ReadonlySet<string>, coded: boolean): StreamFilePlan {
  const byName = new Map(task.tensors.map((tensor) => [tensor.name, tensor]))
  const tensors = task.tensors.map((tensor) => packTensor(tensor, same, byName))
  return planStreamFile(tensors, { codec: 'step', task: task.name, absent: task.missing, coded })
}

async function codeTask(
  run: FoldRun,
  targets: MergedTargets,
  task: PlannedTask,
  coded: readonly MergeableTensor[],
  out: NativeFile,
  offset: number,
): Promise<{ step: number; result: Coding }> {
  const nothing = new Uint8Array(0)
  if (coded.length === 0) {
    const sums = { errorSquared: 0, residualSquared: 0, kept: 0, entropyBits: 0 }
    return { step: 1, result: { bytes: 0, codesBytes: 0, tables: nothing, directory: nothing, ...sums } }
  }
  const { deadZone } = run.plan.settings
  const groups = await countTask(run, targets, task, coded)
  const tensors = coded.map((tensor) => codecTensor(run, targets, task, tensor))
  const shapes = tensors.map(({ name, dtype, rows, columns }) => ({ name, dtype, rows, columns }))
  const batches = batchesOf(coded, tensors)
  const encode = async (step: number): Promise<Coding> => {
    const bytes = coded.reduce((sum, tensor) => sum + emitBytes(task, tensor), 0)
    const phase = startPhase(run, 'write deltas', 2 * bytes)
    const encoder = new run.binding.StepEncoder({ step, deadZone, tensors: shapes, out, offset })
    for (const pass of ['countStep', 'encodeStep'] as const) {
      if (pass === 'encodeStep') encoder.prepare()
      for (const batch of batches) {
        await runJob(
          run,
          (binding, control) =>
            binding[pass]({ encoder, tensors: batch.tensors }, { ...control, device: undefined }),
          { phase, task: task.name },
        )
        phase.finished(batch.bytes(task), { task: task.name, tensor: batch.tensors.at(-1)?.name })
      }
    }
    const result = await encoder.finish()
    phase.done()
    return { ...result, bytes: result.tables.length + result.directory.length + result.codesBytes }
  }
  return await findStep(groups, deadZone, streamTarget(run.plan), encode)
}

function batchesOf(coded: readonly MergeableTensor[], tensors: readonly CodecTensor[]) {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  return makeBatches(coded).map((batch) => ({
    tensors: batch.map(({ name }) => byName.get(name)!),
    bytes: (task: PlannedTask) => batch.reduce((sum, tensor) => sum + emitBytes(task, tensor), 0),
  }))
}

function codecTensor(
  run: FoldRun,
  targets: MergedTargets,
  task: PlannedTask,
  tensor: MergeableTensor,
): CodecTensor {
  const { name, dtype, elements, shape, rows } = tensor
  return {
    ...{ name, dtype, ...matrixShape(rows ?? shape[0] ?? 1, elements) },
    task: foldedPart(run, tensor, tensor.tasks[task.place]!),
    merged: targets.region(name, elements * floatBytes(dtype)),
  }
}

async function writeArrays(
  run: FoldRun,
  task: PlannedTask,
  out: NativeFile,
  { arrays }: StreamLayout,
  result: CodedResult,
): Promise<void> {
  for (const array of ['tables', 'directory'] as const) {
    const bytes = result[array]
    if (bytes.length === 0) continue
    await copy(run, array, bytes, { file: out, offset: arrays[array], length: bytes.length }, task.name)
  }
}
