import { performance } from 'node:perf_hooks'
import { NativeFiles } from '../binding/native-files.js'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { copyModelFiles } from '../checkpoint/model-files.js'
import { readCheckpoint } from '../checkpoint/open-checkpoint.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { openOutputFolder } from '../io/atomic-output.js'
import { assertSpace } from '../io/disk-space.js'
import { createProgress } from '../io/progress.js'
import { type AdapterReport, type EnergySum, totalEnergy } from '../lora/adapter-report.js'
import type { AdapterWarning } from '../lora/adapter-types.js'
import { openAdapter } from '../lora/open-adapter.js'
import { leftOutOfSum, type WeightedAdapter } from '../lora/sum-adapters.js'
import { summedBytes, writeSummedAdapter } from '../lora/write-summed.js'
import { taskArithmetic } from '../merge/task-arithmetic.js'
import { openPack } from '../pack/open-pack.js'
import { checkMergeOptions, type LoraMergeOptions, type MergeSettings } from './lora-merge-options.js'
import { mergedTensors } from './merged-tensors.js'
import { assertBase, fingerprintTensors, openBase } from './open-base.js'
import { assertAdapterFiles, openPackAdapter, type PackAdapter } from './open-pack-adapter.js'
import { planMerged } from './plan-merged.js'
import { writeMergedIndex, writeMergedShard } from './write-merged-shard.js'

/** What {@link loraMerge} did. */
export interface LoraMergeResult {
  /** Absolute path of the folder. */
  output: string
  /** What was written. */
  as: 'checkpoint' | 'adapter'
  /** λ. */
  lambda: number
  /** Names of the merged adapters, in order. */
  tasks: string[]
  /** Bytes of all tensors. */
  bytes: number
  /** Modules that some adapter changes. */
  modules: number
  /** As 'adapter': ranks, singular values and bytes of every layer; null for a checkpoint. */
  adapter: (AdapterReport & EnergySum) | null
  /** What a user of the output should know. */
  warnings: AdapterWarning[]
  /** Wall-clock seconds. */
  seconds: number
}

/**
 * Task arithmetic of LoRA adapters: θ0 + λ·Σ s·B·A, as a whole checkpoint, or as one adapter, which is exact with rank
 * Σr. The baseline that PERU-LoRA is compared with (arXiv 2310.01886).
 *
 * @param options - base and adapters, or a family; λ and what to write
 * @returns what was written
 * @throws TaskfoldError INVALID_ARGUMENT, NOT_FOUND, ADAPTER_INVALID, ADAPTER_UNSUPPORTED, NON_FINITE, OUTPUT_EXISTS,
 * OUTPUT_BUSY, DISK_FULL, INPUT_CHANGED, CANCELLED, IO_ERROR, or a code of the safetensors checks
 */
export async function loraMerge(options: LoraMergeOptions): Promise<LoraMergeResult> {
  const start = performance.now()
  const settings = checkMergeOptions(options)
  const { signal, lambda } = settings
  throwIfAborted(signal)
  const { base, adapters } = await openInputs(settings)
  const written = await (settings.as === 'adapter'
    ? mergeToAdapter(base, adapters, settings)
    : mergeToCheckpoint(base, adapters, settings))
  const tasks = adapters.map(({ name }) => name)
  return {
    ...written,
    as: settings.as,
    lambda: Number(taskArithmetic.describe({ lambda }).lambda),
    tasks,
    seconds: (performance.now() - start) / 1000,
  }
}

interface MergeInputs {
  base: Checkpoint
  adapters: WeightedAdapter[]
}

async function openInputs(settings: MergeSettings): Promise<MergeInputs> {
  const { cacheDir, signal, lambda: coefficient } = settings
  if (settings.tasks === null) return openFamilyInputs(settings)
  const base = await readCheckpoint(settings.base!, { cacheDir, signal })
  const adapters: WeightedAdapter[] = []
  for (const { name, path } of settings.tasks)
    adapters.push({ name, adapter: await openAdapter(path, { cacheDir, signal }), coefficient })
  return { base, adapters }
}

/** Base and stored adapters are checked as unfolding does. */
async function openFamilyInputs(settings: MergeSettings): Promise<MergeInputs> {
  const { base: place, cacheDir, signal, threads, lambda: coefficient } = settings
  const pack = await openPack(settings.family!, { signal })
  const tasks: PackAdapter[] = []
  for (const task of pack.manifest.tasks)
    if (task.codec === 'lora') tasks.push(await openPackAdapter(pack, task, signal))
  if (tasks.length === 0) {
    throw new TaskfoldError('INVALID_ARGUMENT', `${pack.folder} has no LoRA task to merge`, {
      file: pack.folder,
      hint: 'the merge of full fine-tunes is its merged/ folder',
    })
  }
  const base = await openBase(pack, { base: place, cacheDir }, signal)
  const files = new NativeFiles()
  try {
    for (const task of tasks) await assertAdapterFiles(pack, task, { files, signal, threads })
    await assertBase(pack, base, await fingerprintTensors(base.tensors.values(), { files, signal, threads }))
  } finally {
    files.close()
  }
  return { base, adapters: tasks.map(({ name, adapter }) => ({ name, adapter, coefficient })) }
}

type Written = Pick<LoraMergeResult, 'output' | 'bytes' | 'modules' | 'adapter' | 'warnings'>

async function mergeToAdapter(
  base: Checkpoint,
  adapters: readonly WeightedAdapter[],
  settings: MergeSettings,
): Promise<Written> {
  // Adapters that do not fit the base would make one that does not either.
  mergedTensors(adapters, base)
  const { rule, onProgress, signal } = settings
  const progress = createProgress(onProgress, 'decompose', summedBytes(adapters, rule))
  return writeOutput(base, adapters, settings, async (work) => {
    const candidates = [...base.tensors.values()]
      .filter(({ name, shape }) => name.endsWith('.weight') && shape.length >= 2)
      .map(({ name }) => name.slice(0, -'.weight'.length))
    const report = await writeSummedAdapter(adapters, work, {
      ...settings,
      candidates,
      signal,
      onBytes: (bytes) => progress.set(bytes),
    })
    progress.done()
    const { layers, bytesAfter: bytes, warnings } = report
    return { bytes, modules: layers.length, adapter: { ...report, ...totalEnergy(layers) }, warnings }
  })
}

async function mergeToCheckpoint(
  base: Checkpoint,
  adapters: readonly WeightedAdapter[],
  settings: MergeSettings,
): Promise<Written> {
  const { signal, threads, onProgress } = settings
  const tensors = mergedTensors(adapters, base)
  const shards = planMerged(tensors, base)
  const fileBytes = shards.reduce((sum, shard) => sum + shard.fileBytes, 0)
  await assertSpace(settings.output, fileBytes)
  const progress = createProgress(onProgress, 'merge', fileBytes)
  return writeOutput(base, adapters, settings, async (work) => {
    const files = new NativeFiles()
    try {
      let done = 0
      for (const shard of shards) {
        await writeMergedShard(shard, work, settings, {
          ...{ files, signal, threads },
          onBytes: (bytes) => progress.set(done + bytes),
        })
        done += shard.fileBytes
      }
    } finally {
      files.close()
    }
    if (base.sharded) await writeMergedIndex(shards, work)
    await copyModelFiles(base, work, { signal })
    progress.done()
    const merged = [...tensors.values()]
    return {
      bytes: merged.reduce((sum, { length }) => sum + length, 0),
      modules: merged.filter(({ products }) => products.length > 0).length,
      adapter: null,
      warnings: adapters.length > 1 ? leftOutOfSum(adapters) : [],
    }
  })
}

async function writeOutput(
  base: Checkpoint,
  adapters: readonly WeightedAdapter[],
  { output, force, sync, signal }: MergeSettings,
  write: (work: string) => Promise<Omit<Written, 'output'>>,
): Promise<Written> {
  const models = [base, ...adapters.map(({ adapter }) => adapter.checkpoint)]
  const folder = await openOutputFolder(output, {
    force,
    sync,
    inputs: models.flatMap((model) => [model.folder, ...model.files.map(({ path }) => path)]),
  })
  try {
    const written = await write(folder.work)
    for (const model of models) await assertUnchanged(model)
    await folder.commit(signal)
    return { ...written, output: folder.final }
  } catch (error) {
    throw toTaskfoldError(error, { file: output, action: 'write' })
  } finally {
    await folder.discard()
  }
}
