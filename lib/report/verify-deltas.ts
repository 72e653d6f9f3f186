import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { byteBatches } from '../io/byte-batches.js'
import { openInput } from '../io/open-input.js'
import type { PackTask, PackTensor } from '../pack/pack-types.js'
import { type PartJob, runParts } from '../pack/run-parts.js'
import { tensorParts } from '../pack/tensor-parts.js'
import { checkDeltaArrays } from './check-delta-arrays.js'
import { collectProblems } from './collect-problems.js'
import type { VerifyRun } from './verify-fingerprints.js'

/** Tensors that are decoded together: they run again one by one when one of them is faulty. */
const BATCH_BYTES = 32 * 1024 * 1024
const BATCH_TENSORS = 256

/**
 * Checks lengths and padding of all deltas of a task; faults become problems.
 *
 * @param task - the open task
 * @param run - where problems go
 * @returns the tensors without a fault, with arrays
 * @throws TaskfoldError CANCELLED, IO_ERROR
 */
export async function checkTaskArrays(task: PackTask, run: VerifyRun): Promise<PackTensor[]> {
  const checked: PackTensor[] = []
  for (const { path } of task.files) {
    const { handle } = await openInput(path)
    try {
      for (const tensor of task.tensors.values()) {
        if (tensor.describedIn !== path) continue
        // Streams are checked by opening and decoding them.
        if (tensor.coded !== null) checked.push(tensor)
        if (tensor.arrays === null) continue
        throwIfAborted(run.signal)
        const passed = await collectProblems(run.problems, async () => {
          await checkDeltaArrays(tensor, handle, task.name)
          return tensor
        })
        if (passed !== undefined) checked.push(passed)
      }
    } finally {
      await handle.close()
    }
  }
  return checked
}

/**
 * Decodes every entry of a task's deltas: positions ascending and in range, marks as many as entries, streams used up.
 * Nothing is written, so memory does not depend on the size of the tensors. Faults become problems.
 *
 * @param task - the open task
 * @param deltas - what {@link checkTaskArrays} gave
 * @param run - where problems and progress go
 * @throws TaskfoldError CANCELLED, IO_ERROR
 */
export async function decodeDeltas(
  task: PackTask,
  deltas: readonly PackTensor[],
  run: VerifyRun,
): Promise<void> {
  const jobs = deltas.map((tensor): PartJob => ({ part: tensorParts(task, tensor)[0]!, out: null }))
  for (const batch of byteBatches(jobs, {
    bytes: BATCH_BYTES,
    items: BATCH_TENSORS,
    sizeOf: ({ part }) => part.length,
  })) {
    await decode(batch, task, run)
  }
}

/** When a batch fails, every job of it runs alone, so that each faulty tensor is reported once. */
async function decode(jobs: readonly PartJob[], task: PackTask, run: VerifyRun): Promise<void> {
  const { files, signal, threads } = run
  const options = { files, task: task.name, signal, threads }
  try {
    await runParts(jobs, options)
  } catch (error) {
    if (!(error instanceof TaskfoldError) || error.code !== 'PACK_INVALID') throw error
    const faulty = new Set<string>()
    for (const job of jobs) {
      if (faulty.has(job.part.tensor)) continue
      await collectProblems(run.problems, async () => {
        try {
          await runParts([job], options)
        } catch (fault) {
          faulty.add(job.part.tensor)
          throw fault
        }
      })
    }
  }
  for (const { part } of jobs) run.add(part.length, { task: task.name, tensor: part.tensor })
}
