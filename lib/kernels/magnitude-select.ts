import type { FloatDtype, Threshold } from '../binding/binding-types.js'
import { native } from '../binding/load-binding.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { bytesOf, checkFloats, checkLength, type FloatArray, newFloats, operandOf } from './float-array.js'
import { type DeviceKernelOptions, runKernel } from './run-kernel.js'

/** Options of {@link magnitudeSelect}. */
export interface MagnitudeSelectOptions extends DeviceKernelOptions {
  /** Entries to select, 0 to the length. */
  k: number
  /** Ranks |values − minus| instead of |values|; of the same dtype and length. */
  minus?: FloatArray
  /** What the arrays hold; may be left out for a Float32Array. */
  dtype?: FloatDtype
  /** NaN: 'error' (default) rejects with NON_FINITE, 'keep' ranks it above infinity. */
  nonFinite?: 'error' | 'keep'
}

/** What {@link magnitudeSelect} chose. */
export interface Selected<Values extends FloatArray> {
  /** Flat positions, ascending; a Float64Array only for 2^32 elements and more. */
  positions: Uint32Array | Float64Array
  /** The values at these positions, bit for bit. */
  values: Values
  /** Kept are all magnitudes whose f32 bits are above `key`, and the first `ties` that equal it. */
  threshold: Threshold
}

/**
 * Selects the k entries of largest magnitude, exactly; of equal ones those with the lowest positions.
 *
 * @param values - what to choose from
 * @param options - k, and what to subtract before ranking
 * @returns positions and values
 * @throws TaskfoldError INVALID_ARGUMENT, NON_FINITE with the index of a NaN, CANCELLED, DEVICE_UNAVAILABLE
 *
 * @example
 * ```ts
 * const { positions } = await magnitudeSelect(new Float32Array([3, -4, 1]), { k: 2 }) // 0, 1
 * ```
 */
export async function magnitudeSelect<Values extends FloatArray>(
  values: Values,
  options: MagnitudeSelectOptions,
): Promise<Selected<Values>> {
  const { k, minus, nonFinite = 'error' } = options
  const dtype = checkFloats('values', values, options.dtype)
  const elements = values.length
  if (!Number.isSafeInteger(k) || k < 0 || k > elements) {
    throw new TaskfoldError(
      'INVALID_ARGUMENT',
      `k must be a whole number from 0 to ${elements}, got ${String(k)}`,
    )
  }
  if (minus !== undefined) {
    checkFloats('minus', minus, dtype)
    checkLength('minus', minus, elements)
  }
  const job = {
    elements,
    dtype,
    task: operandOf(values, dtype),
    merged: minus === undefined ? null : bytesOf(minus),
    k,
    nonFinite,
  }
  const found = await runKernel(options, (control) => native().selectEntries(job, control))
  const chosen = newFloats(dtype, found.positions.length)
  // An empty result has no memory behind it.
  if (chosen.length > 0) bytesOf(chosen).set(found.values)
  return { positions: found.positions, values: chosen as Values, threshold: found.threshold }
}
