import type { Dtype } from '../checkpoint/checkpoint-types.js'
import type { OnProgress } from '../io/progress.js'
import type { SwitchOptions } from './load-types.js'
import type { TaskTensorData } from './materialize-tensor.js'

/** How a model is kept in this process's memory. */
export interface HostLoadOptions {
  /** The CPU, which is the default. */
  device?: 'cpu'
  /**
   * Bytes that the entries of loaded tasks may take. When they need more, tasks that were not used for longest are
   * dropped, and read again when they are wanted; the task in use and the one being entered always stay. Default: the
   * bytes of θ*. A kept entry takes its item's bytes and 2: at 10 % of a 16-bit model a task takes a fifth of θ*.
   */
  memory?: number
  /** Tasks to load at once; true: all full fine-tunes. Others come on their first switch. */
  preload?: true | readonly string[]
  /** Stops the loading. */
  signal?: AbortSignal
  /** Called at most 20 times a second. */
  onProgress?: OnProgress
  /** Threads at most. Default: the machine's. */
  threads?: number
}

/** Elements of a tensor in memory; dtypes without an array class as their bits: F16 and BF16 as u16, 8 bits as u8. */
export type HostArray =
  | Float64Array
  | Float32Array
  | Uint32Array
  | Int32Array
  | Uint16Array
  | Int16Array
  | Uint8Array
  | Int8Array
  | BigUint64Array
  | BigInt64Array

/** A tensor in memory that workers share. */
export interface HostTensor {
  /** As the task's checkpoint has it. */
  readonly name: string
  /** Dtype of its elements. */
  readonly dtype: Dtype
  /** Row-major extents. */
  readonly shape: readonly number[]
  /** Bytes of `data`. */
  readonly byteLength: number
  /**
   * Its elements, little-endian, in a SharedArrayBuffer: not copied when it is sent to a worker, and later switches show
   * in it. A name keeps its buffer as long as the model is open; a task that has the tensor in another shape or dtype sees
   * another view of the same buffer. Tied tensors share one. Complex numbers are pairs of elements. For reading only.
   */
  readonly data: HostArray
}

/**
 * A task's model in this process's memory, and a switch to the family's other tasks in place. θ* is there once; of each
 * loaded task only what it changes. Calls run one after the other.
 *
 * Whoever reads `data` during a switch, in this thread or in a worker, sees a mixture of two tasks: look at `version`.
 */
export interface HostModel extends AsyncDisposable {
  /** 'cpu' */
  readonly device: string
  /** The task whose model the tensors are; null: θ* itself, the merged model. */
  readonly task: string | null
  /** Tasks whose entries are in memory, the most recently used last. */
  readonly loadedTasks: readonly string[]
  /** The task's tensors, in bytewise order of their names. A switch makes a new map. */
  readonly tensors: ReadonlyMap<string, HostTensor>
  /** Bytes held: θ*'s tensors, what tasks have beside them, and the entries of loaded tasks. */
  readonly bytes: number
  /**
   * One number in a SharedArrayBuffer, to be sent to workers with `data`: odd while tensors change, and raised by 2 with
   * each switch. A reader takes Atomics.load(version, 0), waits with Atomics.wait(version, 0, v) while it is odd, reads,
   * and reads once more if the number has changed meanwhile. It stays odd when a switch failed on the way.
   */
  readonly version: Int32Array
  /**
   * Makes the tensors another task's. In time proportional to what the two tasks keep, when both are loaded; a task that is
   * not is read and decoded first, while the tensors stay as they are: until then the signal stops the switch, and a failure
   * leaves the model as it was. Tensors of which a task changes nearly everything (codec svd) are not kept: they are
   * decoded into place on each switch, and θ*'s bytes are read again when it is left; a failure there leaves a model that
   * can only be closed.
   *
   * @param task - name of the task; null: θ* itself
   * @param options - for loading: signal, onProgress, threads
   * @throws TaskfoldError NOT_FOUND, INVALID_ARGUMENT for a LoRA task, PACK_INVALID, INPUT_CHANGED, OUT_OF_MEMORY, CANCELLED,
   * IO_ERROR
   */
  switchTo(task: string | null, options?: SwitchOptions): Promise<void>
  /**
   * Copies a tensor, never half switched.
   *
   * @param name - of the tensor
   * @param options - signal
   * @returns a copy that the caller owns
   * @throws TaskfoldError NOT_FOUND, OUT_OF_MEMORY, CANCELLED
   */
  read(name: string, options?: { signal?: AbortSignal }): Promise<TaskTensorData>
  /**
   * The memory of a tensor's `data` as an ordinary ArrayBuffer of this thread, not copied, for libraries that refuse
   * SharedArrayBuffers, as onnxruntime-node does for tensors. It can't be sent to other threads. The memory stays as long as
   * one of the two is in use.
   *
   * @param name - of the tensor
   * @returns an array over the same elements
   * @throws TaskfoldError NOT_FOUND, and INTERNAL where the runtime forbids such buffers (Electron)
   */
  unshared(name: string): HostArray
  /** Lets go of the memory after the calls that run; views that others hold stay valid. Idempotent; other calls are then refused. */
  close(): Promise<void>
}
