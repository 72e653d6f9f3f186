import { NativeFiles } from '../binding/native-files.js'
import type { Dtype } from '../checkpoint/checkpoint-types.js'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import type { Pack } from '../pack/pack-types.js'
import type { BaseOptions } from './open-base.js'
import { openTaskModel } from './task-model.js'

/** A tensor of a task in memory. */
export interface TaskTensorData {
  /** Its name. */
  name: string
  /** Its dtype. */
  dtype: Dtype
  /** Row-major extents. */
  shape: number[]
  /** Row-major, little-endian; a copy that the caller owns. */
  data: Uint8Array
}

/** Options of {@link materializeTensor}; where the base is matters for LoRA tasks alone. */
export interface MaterializeTensorOptions extends BaseOptions {
  /** Open input files to use; opened and closed for this call when absent. */
  files?: NativeFiles
  /** Stops within milliseconds. */
  signal?: AbortSignal
  /** Threads at most. Default: the machine's. */
  threads?: number
}

/**
 * Makes one tensor of one task in memory; of a LoRA task one of the model with the adapter merged into its base.
 *
 * @param pack - the open family
 * @param task - name of the task
 * @param name - name of the tensor
 * @param options - signal and threads
 * @returns the tensor
 * @throws TaskfoldError NOT_FOUND for an unknown task or tensor, or a base that is not there, HASH_MISMATCH, PACK_INVALID, OUT_OF_MEMORY, CANCELLED, IO_ERROR
 */
export async function materializeTensor(
  pack: Pack,
  task: string,
  name: string,
  options: MaterializeTensorOptions = {},
): Promise<TaskTensorData> {
  const { signal, threads } = options
  throwIfAborted(signal)
  const files = options.files ?? new NativeFiles()
  try {
    const run = { files, signal, threads }
    const model = await openTaskModel(pack, task, { ...options, ...run })
    const tensor = model.tensor(name)
    if (tensor === undefined) {
      throw new TaskfoldError(
        'NOT_FOUND',
        `${pack.folder}: task '${task}' has no tensor ${quoteName(name)}`,
        {
          file: pack.folder,
          task,
          tensor: name,
          hint: 'taskfold inspect lists the tensors of a family',
        },
      )
    }
    const data = allocateTensor(tensor.byteLength, name, task)
    await tensor.make(data, run)
    return { name, dtype: tensor.dtype, shape: [...tensor.shape], data }
  } finally {
    if (options.files === undefined) files.close()
  }
}

/**
 * Memory for a tensor.
 *
 * @param bytes - its length
 * @param tensor - its name
 * @param task - its task, if it is of one
 * @returns zeros
 * @throws TaskfoldError OUT_OF_MEMORY
 */
export function allocateTensor(bytes: number, tensor: string, task?: string): Uint8Array {
  try {
    return new Uint8Array(bytes)
  } catch (cause) {
    throw new TaskfoldError(
      'OUT_OF_MEMORY',
      `no memory for the ${bytes} bytes of tensor ${quoteName(tensor)}`,
      {
        tensor,
        task,
        cause,
        hint: 'unfold the task to a folder instead, which needs little memory for any size',
      },
    )
  }
}
