import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import type { LoraAdapter } from '../lora/adapter-types.js'
import { mergedTensors } from '../materialize/merged-tensors.js'
import { assertBase, fingerprintTensors } from '../materialize/open-base.js'
import type { PackAdapter } from '../materialize/open-pack-adapter.js'
import type { Pack } from '../pack/pack-types.js'
import { collectProblems } from './collect-problems.js'
import { compareAdapter } from './compare-adapter.js'
import type { VerifyRun } from './verify-fingerprints.js'
import type { VerifiedTask } from './verify-types.js'

/**
 * Checks a LoRA task: that it fits the base where the family has one, and how near it is to its original.
 *
 * @param pack - the family
 * @param task - the open task; its files and layers have been checked
 * @param original - the adapter that it was made of, if it is to be compared
 * @param run - where problems and progress go
 * @returns what was found
 * @throws TaskfoldError CANCELLED, IO_ERROR
 */
export async function verifyAdapter(
  pack: Pack,
  task: PackAdapter,
  original: LoraAdapter | undefined,
  run: VerifyRun,
): Promise<VerifiedTask> {
  const { name, adapter } = task
  const { base } = pack
  if (base !== null)
    await collectProblems(run.problems, async () => mergedTensors([{ name, adapter, coefficient: 1 }], base))
  const against =
    original === undefined
      ? null
      : ((await collectProblems(run.problems, () => compareAdapter(task, original, run))) ?? null)
  return {
    name,
    codec: 'lora',
    tensors: adapter.checkpoint.tensors.size,
    kept: null,
    layers: adapter.layers.length,
    against,
  }
}

/**
 * Checks base/: that its tensors are those that LoRA tasks were made for, whatever its files are.
 *
 * @param pack - the family
 * @param base - its base
 * @param run - where problems and progress go
 * @throws TaskfoldError CANCELLED, IO_ERROR
 */
export async function verifyBase(pack: Pack, base: Checkpoint, run: VerifyRun): Promise<void> {
  const { files, threads, signal } = run
  await collectProblems(run.problems, async () => {
    const options = { files, threads, signal, onBytes: (bytes: number) => run.add(bytes) }
    await assertBase(pack, base, await fingerprintTensors(base.tensors.values(), options))
  })
}

/**
 * @param pack - the family
 * @param tasks - its LoRA tasks
 * @param originals - those that are compared
 * @returns bytes that {@link verifyBase} and {@link verifyAdapter} report
 */
export function adapterBytes(
  pack: Pack,
  tasks: readonly PackAdapter[],
  originals: ReadonlyMap<string, LoraAdapter>,
): number {
  const factors = (adapter: LoraAdapter) =>
    adapter.layers.reduce((sum, { a, b }) => sum + a.length + b.length, 0)
  return tasks.reduce((sum, { name, adapter }) => {
    const original = originals.get(name)
    return original === undefined ? sum : sum + 2 * factors(original) + factors(adapter)
  }, pack.base?.totalBytes ?? 0)
}
