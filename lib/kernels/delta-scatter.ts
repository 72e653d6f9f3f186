import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { bytesOf, checkLength, type FloatArray, type KernelOptions } from './float-array.js'

/**
 * Sets target[positions[i]] = values[i], in place.
 *
 * @param target - changed; left alone when a position lies outside
 * @param positions - flat positions, as {@link magnitudeSelect} gives them
 * @param values - of the same type as target, one for each position
 * @param options - threads and signal
 * @returns target
 * @throws TaskfoldError INVALID_ARGUMENT, CANCELLED
 */
export async function deltaScatter<Target extends FloatArray>(
  target: Target,
  positions: Uint32Array | Float64Array,
  values: Target,
  options: KernelOptions = {},
): Promise<Target> {
  const isArray = (array: unknown) =>
    array instanceof Float32Array || array instanceof Uint16Array || array instanceof Uint8Array
  if (!isArray(target) || !isArray(values) || target.BYTES_PER_ELEMENT !== values.BYTES_PER_ELEMENT) {
    throw new TaskfoldError('INVALID_ARGUMENT', 'target and values must be typed arrays of one type')
  }
  if (!(positions instanceof Uint32Array) && !(positions instanceof Float64Array)) {
    throw new TaskfoldError('INVALID_ARGUMENT', 'positions must be a Uint32Array or a Float64Array')
  }
  checkLength('values', values, positions.length)
  const itemSize = target.BYTES_PER_ELEMENT as 1 | 2 | 4
  const job = { target: bytesOf(target), itemSize, positions, values: bytesOf(values) }
  await callNative((control) => native().scatterEntries(job, control), options)
  return target
}
