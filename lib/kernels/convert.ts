import type { FloatDtype } from '../binding/binding-types.js'
import { native } from '../binding/load-binding.js'
import { bytesOf, checkFloats, type FloatArray, newFloats, operandOf } from './float-array.js'
import { type DeviceKernelOptions, runKernel } from './run-kernel.js'

/** Result of {@link convert}. */
export interface Converted {
  /** A new array: Float32Array for F32, Uint16Array for F16 and BF16, Uint8Array for F8. */
  values: FloatArray
  /** Elements whose value changed; NaN to NaN does not count. */
  inexact: number
}

/**
 * Converts between floating dtypes, round to nearest even.
 *
 * @param values - what to convert
 * @param from - what it holds
 * @param to - what is wanted
 * @param options - threads, signal, device
 * @returns the converted values
 * @throws TaskfoldError INVALID_ARGUMENT, CANCELLED, DEVICE_UNAVAILABLE
 */
export async function convert(
  values: FloatArray,
  from: FloatDtype,
  to: FloatDtype,
  options: DeviceKernelOptions = {},
): Promise<Converted> {
  const source = checkFloats('values', values, from)
  // An empty array of the wanted kind: its check names a wrong `to`.
  const target = newFloats(checkFloats('to', emptyOf(to), to), values.length)
  if (values.length === 0) return { values: target, inexact: 0 }
  const job = {
    elements: values.length,
    from: operandOf(values, source),
    to: { region: bytesOf(target), dtype: to },
  }
  const { inexact } = await runKernel(options, (control) => native().convertRegion(job, control))
  return { values: target, inexact }
}

function emptyOf(dtype: FloatDtype): FloatArray {
  return dtype === 'F32'
    ? new Float32Array(0)
    : dtype.startsWith?.('F8')
      ? new Uint8Array(0)
      : new Uint16Array(0)
}
