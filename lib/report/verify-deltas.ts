import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { openInput } from '../io/open-input.js'
import type { PackTask, PackTensor } from '../pack/pack-types.js'
import { type PartJob, runParts } from '../pack/run-parts.js'
import { tensorParts } from '../pack/tensor-parts.js'
import { checkDeltaArrays } from './check-delta-arrays.js'
import { collectProblems } from './collect-problems.js'
import { splitDelta } from './split-delta.js'
import type { VerifyRun } from './verify-fingerprints.js'

/** Decoded entries go here and are dropped. */
const SCRATCH_BYTES = 32 * 1024 * 1024

/** A delta whose arrays passed the first checks. */
export interface CheckedDelta {
  tensor: PackTensor
  /** First entry of every block, and the number of entries behind the last. */
  starts: number[]
}

/**
 * Checks block starts and padding of all deltas of a task; faults become problems.
 *
 * @param task - the open task
 * @param run - where problems go
 * @returns the deltas without a fault
 * @throws TaskfoldError CANCELLED, IO_ERROR
 */
export async function checkTaskArrays(task: PackTask, run: VerifyRun): Promise<CheckedDelta[]> {
  const checked: CheckedDelta[] = []
  for (const { path } of task.files) {
    const { handle } = await openInput(path)
    try {
      for (const tensor of task.tensors.values()) {
        if (tensor.describedIn !== path || tensor.arrays === null) continue
        throwIfAborted(run.signal)
        const starts = await collectProblems(run.problems, () => checkDeltaArrays(tensor, handle, task.name))
        if (starts !== undefined) checked.push({ tensor, starts })
      }
    } finally {
      await handle.close()
    }
  }
  return checked
}

/**
 * Decodes every entry of a task's deltas: positions ascending and in range, marks as many as entries. Memory stays
 * bounded whatever the size of the tensors. Faults become problems.
 *
 * @param task - the open task
 * @param deltas - what {@link checkTaskArrays} gave
 * @param run - where problems and progress go
 * @param scratchBytes - memory to decode into; at least one block of the widest dtype
 * @throws TaskfoldError CANCELLED, IO_ERROR
 */
export async function decodeDeltas(
  task: PackTask,
  deltas: readonly CheckedDelta[],
  run: VerifyRun,
  scratchBytes = SCRATCH_BYTES,
): Promise<void> {
  if (deltas.length === 0) return
  const scratch = new Uint8Array(scratchBytes)
  let jobs: PartJob[] = []
  let filled = 0
  const flush = async () => {
    await decode(jobs, task, run)
    jobs = []
    filled = 0
  }
  for (const { tensor, starts } of deltas) {
    const [head] = tensorParts(task, tensor)
    for (const part of splitDelta(head!, starts, scratchBytes)) {
      if (filled + part.length > scratchBytes) await flush()
      jobs.push({ part, out: scratch.subarray(filled, filled + part.length) })
      filled += part.length
    }
  }
  await flush()
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
