const f64 = new Float64Array(1)
const bits64 = new BigUint64Array(f64.buffer)

/**
 * Fused multiply-add of f32 numbers with one rounding, on f64 arithmetic.
 *
 * The product of two f32 is exact in f64. The sum is rounded to odd (an inexact result gets an odd last bit), which
 * makes the second rounding to f32 the only one that matters: 53 ≥ 24 + 2 bits.
 *
 * @param a - f32 factor
 * @param b - f32 factor
 * @param c - f32 addend
 */
export function fma32(a: number, b: number, c: number): number {
  const product = a * b
  const sum = product + c
  if (!Number.isFinite(sum)) return Math.fround(sum)
  // TwoSum: what the rounding of `sum` left out, exactly.
  const part = sum - product
  const rest = product - (sum - part) + (c - part)
  if (rest === 0) return Math.fround(sum)
  f64[0] = sum
  if ((bits64[0]! & 1n) === 0n) {
    // One step towards the true value makes the last bit odd: away from zero when the rest has the sign of the sum.
    bits64[0] = rest > 0 === sum > 0 ? bits64[0]! + 1n : bits64[0]! - 1n
  }
  return Math.fround(f64[0]!)
}
