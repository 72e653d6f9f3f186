import { TaskfoldError } from '../errors/taskfold-error.js'
import type { Manifest } from '../pack/manifest-types.js'
import { openPack } from '../pack/open-pack.js'
import { type MaterializeOptions, type MaterializeResult, materialize } from './materialize.js'
import { materializeTensor, type TaskTensorData } from './materialize-tensor.js'
import { type TaskTensorsOptions, taskTensors } from './task-tensors.js'

/** Options of {@link openFamily}. */
export interface OpenFamilyOptions {
  /** Stops the opening. */
  signal?: AbortSignal
}

/** Which tensor of which task. */
export interface FamilyTensorOptions extends TaskTensorsOptions {
  /** Name of the task. */
  task: string
}

/** An open family. It holds no data, and no file is open between two calls. */
export interface Family {
  /** Absolute path of its folder. */
  readonly path: string
  /** Names of its tasks, in the order in which they were merged. */
  readonly tasks: readonly string[]
  /** family.json, checked. */
  readonly manifest: Manifest
  /**
   * Writes one task's model as an ordinary Hugging Face folder; of a LoRA task the adapter, or with `merged` the model.
   *
   * @param task - name of the task
   * @param folder - folder to write
   * @param options - force, signal, progress, threads, merged, base
   * @returns what was written
   * @throws TaskfoldError NOT_FOUND, OUTPUT_EXISTS, OUTPUT_BUSY, DISK_FULL, PACK_INVALID, HASH_MISMATCH, CANCELLED
   */
  materialize(task: string, folder: string, options?: MaterializeOptions): Promise<MaterializeResult>
  /**
   * Walks over all tensors of a task; at most two are in memory. A LoRA task gives those of its merged model.
   *
   * @param task - name of the task
   * @param options - signal and threads
   * @returns the tensors in bytewise order of their names
   */
  tensors(task: string, options?: TaskTensorsOptions): AsyncIterableIterator<TaskTensorData>
  /**
   * Makes one tensor of one task in memory.
   *
   * @param name - name of the tensor
   * @param options - the task, signal and threads
   * @returns the tensor
   * @throws TaskfoldError NOT_FOUND, PACK_INVALID, OUT_OF_MEMORY, CANCELLED
   */
  tensor(name: string, options: FamilyTensorOptions): Promise<TaskTensorData>
  /** Stops running calls of this family and refuses new ones. Idempotent. */
  close(): void
}

/**
 * Opens a family and checks its manifest, the sizes of its files and all headers of its merged checkpoint.
 *
 * @param path - folder that `fold` wrote
 * @param options - signal
 * @returns the family
 * @throws TaskfoldError NOT_A_FAMILY, PACK_INVALID, PACK_VERSION, IO_ERROR, CANCELLED
 */
export async function openFamily(path: string, options: OpenFamilyOptions = {}): Promise<Family> {
  const pack = await openPack(path, options)
  const closing = new AbortController()
  const use = <T extends { signal?: AbortSignal }>(given: T | undefined): T & { signal: AbortSignal } => {
    if (closing.signal.aborted) {
      throw new TaskfoldError('INVALID_ARGUMENT', `${pack.folder}: this family was closed`, {
        file: pack.folder,
        hint: 'open it again with openFamily',
      })
    }
    const signal = given?.signal ? AbortSignal.any([given.signal, closing.signal]) : closing.signal
    return { ...given, signal } as T & { signal: AbortSignal }
  }
  return {
    path: pack.folder,
    tasks: pack.manifest.tasks.map((task) => task.name),
    manifest: pack.manifest,
    materialize: async (task, folder, given) => materialize(pack, task, folder, use(given)),
    tensors: (task, given) => taskTensors(pack, task, use(given)),
    tensor: async (name, given) => materializeTensor(pack, given.task, name, use(given)),
    close: () => closing.abort(),
  }
}
