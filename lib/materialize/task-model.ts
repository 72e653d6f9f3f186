import type { NativeFiles } from '../binding/native-files.js'
import type { Dtype } from '../checkpoint/checkpoint-types.js'
import type { Pack, PackTask } from '../pack/pack-types.js'
import { runParts } from '../pack/run-parts.js'
import { tensorParts } from '../pack/tensor-parts.js'
import { loraModel } from './lora-model.js'
import type { BaseOptions } from './open-base.js'

/** What the making of a tensor needs. */
export interface TensorRun {
  /** Open input files. */
  files: NativeFiles
  signal?: AbortSignal
  threads?: number
}

/** A tensor that can be made. */
export interface ModelTensor {
  dtype: Dtype
  shape: readonly number[]
  /** Bytes. */
  byteLength: number
  /** Fills `data`, which has byteLength bytes. */
  make(data: Uint8Array, run: TensorRun): Promise<void>
}

/** The model of one task, tensor by tensor. */
export interface TaskModel {
  /** In bytewise order. */
  names: readonly string[]
  /** undefined: the model has none of this name. */
  tensor(name: string): ModelTensor | undefined
}

/**
 * Opens the model of a task, of a LoRA task that of the adapter merged into its base.
 *
 * @param pack - the open family
 * @param task - name of the task
 * @param options - where the base is, and what reading it needs
 * @returns the model
 * @throws TaskfoldError NOT_FOUND, PACK_INVALID, HASH_MISMATCH, CANCELLED, IO_ERROR
 */
export async function openTaskModel(
  pack: Pack,
  task: string,
  options: BaseOptions & TensorRun,
): Promise<TaskModel> {
  const entry = pack.entry(task)
  return entry.codec === 'lora' ? loraModel(pack, entry, options) : exactModel(await pack.task(task))
}

function exactModel(task: PackTask): TaskModel {
  return {
    get names() {
      return [...task.tensors.keys()]
    },
    tensor(name) {
      const tensor = task.tensors.get(name)
      if (tensor === undefined) return undefined
      const { dtype, shape, byteLength } = tensor
      return {
        ...{ dtype, shape, byteLength },
        async make(data, run) {
          const jobs = tensorParts(task, tensor).map((part) => {
            return { part, out: data.subarray(part.at, part.at + part.length) }
          })
          await runParts(jobs, { ...run, task: task.name })
        },
      }
    },
  }
}
