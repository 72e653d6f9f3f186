import type { DeviceChoice } from '../binding/device-choice.js'
import type { Dtype } from '../checkpoint/checkpoint-types.js'
import type { OnProgress } from '../io/progress.js'
import type { TaskTensorData } from './materialize-tensor.js'

/** How a model is kept in a GPU's memory. */
export interface LoadOptions {
  /** The GPU, for instance 'cuda:1'; 'auto' and 'cuda': the first one. A model lives on one GPU. */
  device: Exclude<DeviceChoice, 'cpu'>
  /** Bytes of the GPU's memory that the model may use. Default: most of what is free. */
  gpuMemory?: number
  /**
   * Tasks to put on the GPU at once; true: all full fine-tunes. Others come on their first switch, and stay while there
   * is memory.
   */
  preload?: true | readonly string[]
  /** Stops the loading; nothing stays on the GPU. */
  signal?: AbortSignal
  /** Called at most 20 times a second. */
  onProgress?: OnProgress
  /** Threads at most that read files. Default: the machine's. */
  threads?: number
}

/** How a switch that first has to load its task does that. */
export type SwitchOptions = Pick<LoadOptions, 'signal' | 'onProgress' | 'threads'>

/** A tensor on the GPU. */
export interface LoadedTensor {
  /** As the task's checkpoint has it. */
  name: string
  /** Dtype of its elements. */
  dtype: Dtype
  /** Row-major extents. */
  shape: readonly number[]
  /** Bytes from `pointer` on. */
  byteLength: number
  /** 'cuda:0' */
  device: string
  /**
   * Device address, a multiple of 256. That of tensors which the task shares with θ* (kept entries or not) never changes;
   * a tensor that the task has stored whole lies elsewhere.
   */
  pointer: bigint
  /** First byte inside the model's memory; null: in the task's own. */
  offset: number | null
}

/** Where another process finds a tensor. */
export interface SharedTensor {
  /** Dtype of its elements. */
  dtype: Dtype
  /** Row-major extents. */
  shape: readonly number[]
  /** Bytes from `offset` on. */
  byteLength: number
  /** Whose memory: the model's (`handle`), or the task's own (`taskHandle`). */
  memory: 'model' | 'task'
  /** First byte in that memory. */
  offset: number
}

/** A model's memory for other processes on this machine. */
export interface SharedModel {
  /** cudaIpcMemHandle_t of the model's memory, 64 bytes, for cudaIpcOpenMemHandle. */
  handle: Uint8Array
  /** The same of the task's own memory; null when none of its tensors lies there. */
  taskHandle: Uint8Array | null
  /** 'cuda:0', as this process counts devices. */
  device: string
  /** The task whose model it is at this moment; null: θ* itself. */
  task: string | null
  /** Places of the tensors by name. */
  tensors: ReadonlyMap<string, SharedTensor>
}

/**
 * A task's model in the memory of one GPU, and a switch to the family's other tasks in place. θ* is there once; of each
 * loaded task only what it keeps. Calls run one after the other. What was computed with the tensors before a switch must
 * have ended when the switch begins: a consumer, in this process or another, that reads meanwhile sees a mixture.
 */
export interface LoadedModel extends AsyncDisposable {
  /** 'cuda:0' */
  readonly device: string
  /** The task whose model the tensors are; null: θ* itself, the merged model. */
  readonly task: string | null
  /** Tasks on the GPU, the most recently used last. */
  readonly loadedTasks: readonly string[]
  /** The task's tensors, in bytewise order of their names. A switch makes a new map. */
  readonly tensors: ReadonlyMap<string, LoadedTensor>
  /** GPU memory held, in bytes. */
  readonly bytes: number
  /**
   * Makes the tensors another task's, in a time proportional to the two tasks' kept entries. A task that is not on the
   * GPU is loaded first; when memory is short, tasks that were not used for longest are dropped, the current one at last.
   * A failed load leaves the model as it was, or at θ* when the current task had to go. A switch that fails on the way
   * (the GPU was lost) leaves a model that can only be closed.
   *
   * @param task - name of the task; null: θ* itself
   * @param options - for loading: signal, onProgress, threads
   * @throws TaskfoldError NOT_FOUND, INVALID_ARGUMENT for a LoRA task, PACK_INVALID, INPUT_CHANGED, OUT_OF_MEMORY,
   * DEVICE_UNAVAILABLE, CANCELLED, IO_ERROR
   */
  switchTo(task: string | null, options?: SwitchOptions): Promise<void>
  /**
   * Copies a tensor to the host.
   *
   * @param name - of the tensor
   * @param options - signal
   * @returns a copy that the caller owns
   * @throws TaskfoldError NOT_FOUND, DEVICE_UNAVAILABLE, OUT_OF_MEMORY, CANCELLED
   */
  read(name: string, options?: { signal?: AbortSignal }): Promise<TaskTensorData>
  /**
   * A tensor for a library in this process that takes DLPack, by FFI: nothing in Node does today. Dtypes of 8 bits and
   * less are uint8, which every version of DLPack has.
   *
   * @param name - of the tensor
   * @returns address of a DLManagedTensor. Who takes it calls its deleter once; until then the memory stays, even when
   * the model is closed. Later switches show in it.
   * @throws TaskfoldError NOT_FOUND, INVALID_ARGUMENT
   */
  dlpack(name: string): bigint
  /**
   * Handles with which another process of this user maps the tensors (CUDA IPC, Linux). Later switches show there;
   * `taskHandle` is the current task's only. Mappings must be closed before the model is.
   *
   * @returns the handles and each tensor's place
   * @throws TaskfoldError DEVICE_UNAVAILABLE where the system has no CUDA IPC
   */
  ipcHandle(): Promise<SharedModel>
  /** Gives the GPU's memory back after the calls that run. Idempotent; other calls are then refused. */
  close(): Promise<void>
}
