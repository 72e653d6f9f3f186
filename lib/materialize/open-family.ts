import { TaskfoldError } from '../errors/taskfold-error.js'
import type { Manifest } from '../pack/manifest-types.js'
import { openPack } from '../pack/open-pack.js'
import type { HostLoadOptions, HostModel } from './host-types.js'
import { loadHost } from './load-host.js'
import { loadModel } from './load-model.js'
import type { LoadedModel, LoadOptions } from './load-types.js'
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
   * @param options - force, signal, progress, threads, device, merged, base
   * @returns what was written
   * @throws TaskfoldError NOT_FOUND, OUTPUT_EXISTS, OUTPUT_BUSY, DISK_FULL, PACK_INVALID, HASH_MISMATCH, CANCELLED,
   * DEVICE_UNAVAILABLE
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
  /**
   * Keeps a task's model in the memory of this process, shared with its workers, and switches it to other tasks in place.
   * The model is closed by its own close(), not with the family.
   *
   * @param task - name of the task; null: θ* itself
   * @param options - memory, preload, signal, onProgress, threads
   * @returns the model
   * @throws TaskfoldError NOT_FOUND, INVALID_ARGUMENT for a LoRA task, OUT_OF_MEMORY, PACK_INVALID, INPUT_CHANGED, CANCELLED,
   * IO_ERROR
   */
  load(task: string | null, options?: HostLoadOptions): Promise<HostModel>
  /**
   * The same in a GPU's memory.
   *
   * @param task - name of the task; null: θ* itself
   * @param options - device, gpuMemory, preload, signal, onProgress, threads
   * @returns the model
   * @throws TaskfoldError NOT_FOUND, INVALID_ARGUMENT for a LoRA task or several devices, DEVICE_UNAVAILABLE,
   * OUT_OF_MEMORY, PACK_INVALID, INPUT_CHANGED, CANCELLED, IO_ERROR
   */
  load(task: string | null, options: LoadOptions): Promise<LoadedModel>
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
    load: (async (task: string | null, given?: HostLoadOptions | LoadOptions) =>
      onCpu(given) ? loadHost(pack, task, use(given)) : loadModel(pack, task, use(given))) as Family['load'],
    close: () => closing.abort(),
  }
}

function onCpu(options: HostLoadOptions | LoadOptions | undefined): options is HostLoadOptions | undefined {
  return (options?.device ?? 'cpu') === 'cpu'
}
