import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import type { LoraAdapter } from '../lora/adapter-types.js'
import type { ManifestLoraTask } from '../pack/manifest-types.js'
import type { Pack } from '../pack/pack-types.js'
import { addProducts } from './add-products.js'
import { type MergedTensor, mergedTensors } from './merged-tensors.js'
import { assertBase, type BaseOptions, fingerprintTensors, openBase } from './open-base.js'
import { assertAdapterFiles, openPackAdapter } from './open-pack-adapter.js'
import type { TaskModel, TensorRun } from './task-model.js'

interface OpenModel {
  adapter: LoraAdapter
  base: Checkpoint
  tensors: ReadonlyMap<string, MergedTensor>
}

/** Of every open family: models by task and base. Checking a base reads all of it, so it is done once. */
const modelsOf = new WeakMap<Pack, Map<string, OpenModel>>()

/**
 * Opens the model of a LoRA task: the adapter merged into its base, tensor by tensor. The whole base is fingerprinted
 * the first time.
 *
 * @param pack - the open family
 * @param task - its entry
 * @param options - where the base is, open files, signal, threads
 * @returns the model
 * @throws TaskfoldError NOT_FOUND without a base, HASH_MISMATCH for another one, ADAPTER_INVALID, PACK_INVALID,
 * INPUT_CHANGED, CANCELLED, IO_ERROR
 */
export async function loraModel(
  pack: Pack,
  task: ManifestLoraTask,
  options: BaseOptions & TensorRun,
): Promise<TaskModel> {
  const { adapter, base, tensors } = await openOnce(pack, task, options)
  return {
    get names() {
      return [...tensors.keys()]
    },
    tensor(name) {
      const tensor = tensors.get(name)
      if (tensor === undefined) return undefined
      const { dtype, shape, length } = tensor
      return {
        ...{ dtype, shape, byteLength: length },
        async make(data, run) {
          await addProducts([{ tensor, out: data }], { ...run, task: task.name })
          for (const checkpoint of [base, adapter.checkpoint]) await assertUnchanged(checkpoint)
        },
      }
    },
  }
}

async function openOnce(
  pack: Pack,
  task: ManifestLoraTask,
  options: BaseOptions & TensorRun,
): Promise<OpenModel> {
  const models = modelsOf.get(pack) ?? new Map<string, OpenModel>()
  modelsOf.set(pack, models)
  const key = JSON.stringify([task.name, options.base ?? null, options.cacheDir ?? null])
  const known = models.get(key)
  if (known !== undefined) return known
  const { signal } = options
  const found = await openPackAdapter(pack, task, signal)
  await assertAdapterFiles(pack, found, options)
  const { adapter } = found
  const now = await openBase(pack, options, signal)
  // Another task may have checked this very base already.
  const same = [...models.values()].find(({ base }) => isSame(base, now))
  const base = same?.base ?? now
  const tensors = mergedTensors([{ name: task.name, adapter, coefficient: 1 }], base)
  if (same === undefined)
    await assertBase(pack, base, await fingerprintTensors(base.tensors.values(), options))
  const model = { adapter, base, tensors }
  models.set(key, model)
  return model
}

function isSame(a: Checkpoint, b: Checkpoint): boolean {
  const facts = ({ files }: Checkpoint) =>
    JSON.stringify(files.map(({ path, size, mtimeMs }) => [path, size, mtimeMs]))
  return facts(a) === facts(b)
}
