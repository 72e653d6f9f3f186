import { native } from '../binding/load-binding.js'
import type { Dtype } from '../checkpoint/checkpoint-types.js'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { HostArray } from './host-types.js'

type ArrayClass = new (buffer: ArrayBufferLike, offset: number, length: number) => HostArray

const CLASSES: Partial<Record<Dtype, ArrayClass & { BYTES_PER_ELEMENT: number }>> = {
  F64: Float64Array,
  F32: Float32Array,
  C64: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  U16: Uint16Array,
  I16: Int16Array,
  I8: Int8Array,
  U32: Uint32Array,
  I32: Int32Array,
  U64: BigUint64Array,
  I64: BigInt64Array,
}

/** Below this, large pages can't help. */
const HUGE_PAGE = 2 * 1024 * 1024

/**
 * Memory that threads share.
 *
 * @param bytes - its length
 * @param tensor - its name
 * @returns zeros, from a SharedArrayBuffer's first byte on
 * @throws TaskfoldError OUT_OF_MEMORY
 */
export function allocateShared(bytes: number, tensor: string): Uint8Array {
  return allocate(() => new Uint8Array(new SharedArrayBuffer(bytes)), bytes, tensor)
}

/**
 * Memory for what a task changes.
 *
 * @param bytes - its length
 * @param tensor - its name
 * @param task - the task
 * @returns zeros
 * @throws TaskfoldError OUT_OF_MEMORY
 */
export function allocateEntries(bytes: number, tensor: string, task: string): Uint8Array {
  return allocate(() => new Uint8Array(bytes), bytes, tensor, task)
}

/**
 * Elements of a dtype in memory.
 *
 * @param dtype - of the elements; those without an array class as their bytes
 * @param buffer - begins with the elements
 * @param bytes - length of all elements
 * @returns a view
 */
export function viewOf(dtype: Dtype, buffer: ArrayBufferLike, bytes: number): HostArray {
  const view = CLASSES[dtype] ?? Uint8Array
  return new view(buffer, 0, bytes / view.BYTES_PER_ELEMENT)
}

function allocate(make: () => Uint8Array, bytes: number, tensor: string, task?: string): Uint8Array {
  let memory: Uint8Array
  try {
    memory = make()
  } catch (cause) {
    throw new TaskfoldError('OUT_OF_MEMORY', `no memory for ${bytes} bytes of tensor ${quoteName(tensor)}`, {
      tensor,
      task,
      cause,
      hint: 'unfold the task to a folder, which needs little memory for any size',
    })
  }
  // Random writes over ordinary pages spend a tenth of their time looking pages up.
  if (bytes >= HUGE_PAGE) native().adviseHugePages(memory)
  return memory
}
