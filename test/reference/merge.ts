import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { convertFloats, decodeFloats, encodeFloats } from './float-convert.js'
import { fma32 } from './fma32.js'

/** Bytes and their dtype. */
export interface ReferenceOperand {
  dtype: FloatDtype
  bytes: Uint8Array
}

/**
 * θ* = fma(λ, Σt(θt − θ0), θ0), each sum rounded to f32 in task order, the result rounded to the storage dtype.
 *
 * @param dtype - storage dtype; operands of another dtype are converted to it first
 * @param base - θ0
 * @param tasks - θt in task order
 * @param lambda - λ, an f32
 * @returns θ* as little-endian bytes of dtype
 */
export function mergeReference(
  dtype: FloatDtype,
  base: ReferenceOperand,
  tasks: readonly ReferenceOperand[],
  lambda: number,
): Uint8Array {
  const numbers = (operand: ReferenceOperand) =>
    decodeFloats(dtype, convertFloats(operand.dtype, dtype, operand.bytes))
  const theta0 = numbers(base)
  const sum = new Float32Array(theta0.length)
  for (const task of tasks) {
    const thetaT = numbers(task)
    for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + Math.fround(thetaT[i]! - theta0[i]!)
  }
  const merged = new Float32Array(theta0.length)
  for (let i = 0; i < merged.length; i++) merged[i] = fma32(lambda, sum[i]!, theta0[i]!)
  return encodeFloats(dtype, merged)
}
