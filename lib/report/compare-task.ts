import type { CompareTensor, FloatDtype, TensorDifference } from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { byteBatches } from '../io/byte-batches.js'
import { openStreams } from '../pack/open-streams.js'
import type { PackTask } from '../pack/pack-types.js'
import { nativeDelta } from '../pack/run-parts.js'
import { floatBytes } from '../pack/stored-arrays.js'
import { collectProblems } from './collect-problems.js'
import { DifferenceSum } from './difference-sum.js'
import { type Comparison, differs, matchOriginal } from './match-original.js'
import type { VerifyRun } from './verify-fingerprints.js'
import type { TaskComparison } from './verify-types.js'

/** Enough for all threads, small enough for lively progress. */
const BATCH_BYTES = 256 * 1024 * 1024
const BATCH_PARTS = 256

/**
 * Compares every tensor of a task, as it would be unfolded, with the original model. A delta may differ where it keeps
 * nothing; wrong kept values, and any difference in the other kinds, become problems.
 *
 * @param task - the open task
 * @param sound - names of deltas that follow the format; others are left out
 * @param original - the task's original checkpoint
 * @param run - where problems and progress go
 * @returns how near the unfolded task is to its original
 * @throws TaskfoldError CANCELLED, IO_ERROR
 */
export async function compareTask(
  task: PackTask,
  sound: ReadonlySet<string>,
  original: Checkpoint,
  run: VerifyRun,
): Promise<TaskComparison> {
  const { comparisons, converted, problems } = matchOriginal(task, sound, original)
  run.problems.push(...problems)
  const sum = new DifferenceSum()
  sum.converted = converted
  sum.differentBytes = problems.length > 0
  const report = ({ tensor }: Comparison, text: string) =>
    run.problems.push(differs(original, task, tensor.name, text))
  for (const batch of batches(comparisons.filter((comparison) => comparison.float))) {
    for (const [comparison, difference] of await compareFloats(batch, task, run)) {
      sum.add(difference, elementsOf(comparison))
      const { keptDiffering, differing, firstDifferent } = difference
      if (keptDiffering > 0) {
        report(comparison, `differs from ${keptDiffering} of the kept values that the family stores`)
      } else if (differing > 0 && !comparison.lossy) {
        report(
          comparison,
          `differs in ${differing} elements from what the family stores, first at ${firstDifferent}`,
        )
      }
    }
  }
  for (const batch of batches(comparisons.filter((comparison) => !comparison.float))) {
    for (const comparison of await differentBytes(batch, task, run)) {
      report(comparison, 'has other bytes than the family stores')
      sum.differentBytes = true
    }
  }
  return sum.result(original.source)
}

/** When a batch fails, every part of it is compared alone, so that the sound ones still count. */
async function compareFloats(
  batch: readonly Comparison[],
  task: PackTask,
  run: VerifyRun,
): Promise<[Comparison, TensorDifference][]> {
  try {
    return await compareBatch(batch, task, run)
  } catch (error) {
    if (!(error instanceof TaskfoldError) || error.code !== 'PACK_INVALID') throw error
  }
  const results: [Comparison, TensorDifference][] = []
  for (const comparison of batch) {
    const found = await collectProblems(run.problems, () => compareBatch([comparison], task, run))
    results.push(...(found ?? []))
  }
  return results
}

async function compareBatch(
  batch: readonly Comparison[],
  task: PackTask,
  run: VerifyRun,
): Promise<[Comparison, TensorDifference][]> {
  const { files, signal, threads } = run
  await openStreams(
    batch.map(({ part }) => part),
    { files, task: task.name, signal, threads },
  )
  const tensors = batch.map((comparison): CompareTensor => {
    const { tensor, part, original, range } = comparison
    const { delta } = part
    return {
      name: tensor.name,
      elements: elementsOf(comparison),
      dtype: tensor.dtype as FloatDtype,
      merged: files.region(part.from),
      delta: delta && nativeDelta(delta, files),
      against: { region: files.region(range), dtype: original.dtype as FloatDtype },
    }
  })
  const context = { file: batch[0]!.tensor.describedIn, task: task.name }
  const differences = await callNative((control) => native().compareTensors({ tensors }, control), {
    signal,
    threads,
    context,
  })
  count(batch, task, run)
  return batch.map((comparison, i) => [comparison, differences[i]!])
}

async function differentBytes(
  batch: readonly Comparison[],
  task: PackTask,
  run: VerifyRun,
): Promise<Comparison[]> {
  const { files, signal, threads } = run
  const regions = batch.flatMap(({ part, range }) => [files.region(part.from), files.region(range)])
  const found = await callNative((control) => native().fingerprintRegions({ regions }, control), {
    signal,
    threads,
    context: { file: batch[0]!.tensor.describedIn, task: task.name },
  })
  count(batch, task, run)
  return batch.filter((_, i) => found[i * 2] !== found[i * 2 + 1])
}

function count(batch: readonly Comparison[], task: PackTask, run: VerifyRun): void {
  for (const { part, tensor } of batch) run.add(part.length, { task: task.name, tensor: tensor.name })
}

function elementsOf({ tensor, part }: Comparison): number {
  return part.length / floatBytes(tensor.dtype as FloatDtype)
}

function batches(comparisons: readonly Comparison[]): Generator<Comparison[]> {
  return byteBatches(comparisons, {
    bytes: BATCH_BYTES,
    items: BATCH_PARTS,
    sizeOf: ({ part }) => part.length,
  })
}
