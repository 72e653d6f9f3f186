import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { NativeFiles } from '../binding/native-files.js'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { copyModelFiles } from '../checkpoint/model-files.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { createProgress } from '../io/progress.js'
import { WEIGHT_FILE } from '../pack/manifest-files.js'
import type { ManifestLoraTask } from '../pack/manifest-types.js'
import { BASE_FOLDER } from '../pack/pack-format.js'
import type { Pack } from '../pack/pack-types.js'
import { copyChecked } from './copy-checked.js'
import type { MaterializeOptions, MaterializeResult } from './materialize.js'
import { mergedTensors } from './merged-tensors.js'
import { assertBase, fingerprintTensors, openBase } from './open-base.js'
import { openOutput } from './open-output.js'
import { assertAdapterFiles, openPackAdapter } from './open-pack-adapter.js'
import { planMerged } from './plan-merged.js'
import { writeMergedIndex, writeMergedShard } from './write-merged-shard.js'

/**
 * Writes the whole model of a LoRA task: θ0 + Σ s·B·A where the adapter has layers, the adapter's own tensors where it
 * has them, everything else as in the base. The base is fingerprinted on the way; a wrong one leaves nothing behind.
 *
 * @param pack - the open family
 * @param task - its entry
 * @param folder - folder to write
 * @param options - where the base is, force, signal, progress, threads, sync
 * @returns what was written
 * @throws TaskfoldError HASH_MISMATCH for another base, NOT_FOUND for none, and as materialize does
 */
export async function materializeMerged(
  pack: Pack,
  task: ManifestLoraTask,
  folder: string,
  options: MaterializeOptions,
): Promise<MaterializeResult> {
  const { signal, onProgress, threads } = options
  const { name } = task
  const opened = await openPackAdapter(pack, task, signal)
  const { adapter } = opened
  const base = await openBase(pack, options, signal)
  const tensors = mergedTensors([{ name, adapter, coefficient: 1 }], base)
  const shards = planMerged(tensors, base)
  const bytes = shards.reduce((sum, shard) => sum + shard.fileBytes, 0)
  const inputs = [adapter.folder, base.folder, ...base.files.map(({ path }) => path)]
  const output = await openOutput(pack.folder, folder, bytes, inputs, options)
  const progress = createProgress(onProgress, 'materialize', bytes + base.totalBytes)
  const files = new NativeFiles()
  try {
    await assertAdapterFiles(pack, opened, { files, signal, threads })
    const fingerprints = new Map<string, string>()
    let done = 0
    for (const shard of shards) {
      const run = { files, task: name, signal, threads }
      await writeMergedShard(shard, output.work, options, {
        ...run,
        onBytes: (written) => progress.set(done + written, { task: name }),
        // The base's bytes are in the page cache now: reading them once more costs little.
        async onBatch(jobs) {
          const seen = jobs.flatMap(({ tensor }) => base.tensors.get(tensor.name) ?? [])
          for (const [tensor, found] of await fingerprintTensors(seen, run)) fingerprints.set(tensor, found)
          done += seen.reduce((sum, { length }) => sum + length, 0)
        },
      })
      done += shard.fileBytes
    }
    const unseen = [...base.tensors.values()].filter((tensor) => !fingerprints.has(tensor.name))
    for (const [tensor, found] of await fingerprintTensors(unseen, { files, threads, signal }))
      fingerprints.set(tensor, found)
    await assertBase(pack, base, fingerprints)
    const others = await copyOthers(pack, base, output.work, name, signal)
    const otherBytes = await sizes(output.work, others)
    if (base.sharded) await writeMergedIndex(shards, output.work)
    for (const checkpoint of [base, adapter.checkpoint]) await assertUnchanged(checkpoint)
    throwIfAborted(signal)
    await output.commit()
    progress.done()
    return {
      folder: output.final,
      task: name,
      tensors: tensors.size,
      bytes: bytes + otherBytes,
      files: [...shards.map((shard) => shard.name), ...others],
      device: 'cpu',
      deviceNote: null,
    }
  } catch (error) {
    throw toTaskfoldError(error, { task: name, action: 'unfold' })
  } finally {
    files.close()
    await output.discard()
  }
}

/** Configuration and tokenizer are the base's; answers their names. */
async function copyOthers(
  pack: Pack,
  base: Checkpoint,
  work: string,
  task: string,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  if (base !== pack.base) {
    const names = base.otherFiles.filter((name) => !WEIGHT_FILE.test(name))
    await copyModelFiles(base, work, { names, signal })
    return names
  }
  const prefix = `${BASE_FOLDER}/`
  const copies = (pack.manifest.base.files ?? [])
    .filter(({ path }) => !WEIGHT_FILE.test(path))
    .map((from) => ({ from, to: from.path.slice(prefix.length) }))
  await copyChecked(copies, { family: pack.folder, work, task, signal })
  return copies.map(({ to }) => to)
}

async function sizes(folder: string, names: readonly string[]): Promise<number> {
  const found = await Promise.all(names.map((name) => stat(join(folder, name))))
  return found.reduce((sum, { size }) => sum + size, 0)
}
