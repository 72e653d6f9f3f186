import type { FloatDtype, Operand } from '../binding/binding-types.js'
import { TaskfoldError } from '../errors/taskfold-error.js'

/** Values of a tensor: f32 as numbers, the narrower dtypes as their raw bits. */
export type FloatArray = Float32Array | Uint16Array | Uint8Array

/** Common to all kernels. */
export interface KernelOptions {
  /** Threads at most. Default: the machine's. */
  threads?: number
  /** Stops the call; it then rejects with CANCELLED. */
  signal?: AbortSignal
}

const CLASSES = {
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
} as const

/**
 * Checks that an array can hold a dtype.
 *
 * @param name - of the argument, for the error
 * @param values - the array
 * @param dtype - what it is said to hold; may be left out for a Float32Array
 * @returns the dtype
 * @throws TaskfoldError INVALID_ARGUMENT
 */
export function checkFloats(name: string, values: FloatArray, dtype?: FloatDtype): FloatDtype {
  const found = dtype ?? (values instanceof Float32Array ? 'F32' : undefined)
  if (found === undefined || !Object.hasOwn(CLASSES, found)) {
    throw new TaskfoldError(
      'INVALID_ARGUMENT',
      `${name} needs a dtype of ${Object.keys(CLASSES).join(', ')}`,
      {
        hint: 'give dtype: a Uint16Array may be F16 or BF16, a Uint8Array F8_E4M3 or F8_E5M2',
      },
    )
  }
  if (!(values instanceof CLASSES[found])) {
    throw new TaskfoldError('INVALID_ARGUMENT', `${name} must be a ${CLASSES[found].name} to hold ${found}`)
  }
  return found
}

/**
 * Checks that two arrays have one length.
 *
 * @param name - of the argument, for the error
 * @param values - the array
 * @param length - wanted
 * @throws TaskfoldError INVALID_ARGUMENT
 */
export function checkLength(name: string, values: ArrayLike<number>, length: number): void {
  if (values.length === length) return
  throw new TaskfoldError('INVALID_ARGUMENT', `${name} has ${values.length} elements, not ${length}`)
}

/**
 * @param values - a checked array
 * @returns its bytes, not copied
 */
export function bytesOf(values: FloatArray): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

/**
 * @param values - a checked array
 * @param dtype - what it holds
 * @returns it as the engine takes it
 */
export function operandOf(values: FloatArray, dtype: FloatDtype): Operand {
  return { region: bytesOf(values), dtype }
}

/**
 * @param dtype - wanted
 * @param length - elements
 * @returns a new array of zeros
 */
export function newFloats(dtype: FloatDtype, length: number): FloatArray {
  return new CLASSES[dtype](length)
}
