/** A product s·B·A with its factors as numbers: b [rows × rank], a [rank × columns], row-major. */
export interface NaiveProduct {
  b: ArrayLike<number>
  a: ArrayLike<number>
  rank: number
  scale: number
}

/**
 * @param x - [rows × inner], row-major
 * @param y - [inner × columns], row-major
 * @param rows - of x
 * @param inner - columns of x
 * @param columns - of y
 * @returns x · y [rows × columns] in f64
 */
export function multiply(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  rows: number,
  inner: number,
  columns: number,
): Float64Array {
  const out = new Float64Array(rows * columns)
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < inner; k++) {
      const factor = x[i * inner + k]!
      for (let j = 0; j < columns; j++) out[i * columns + j]! += factor * y[k * columns + j]!
    }
  }
  return out
}

/**
 * @param products - what to add up
 * @param rows - of the sum
 * @param columns - of the sum
 * @returns Σ s·B·A [rows × columns] in f64
 */
export function sumOfProducts(
  products: readonly NaiveProduct[],
  rows: number,
  columns: number,
): Float64Array {
  const sum = new Float64Array(rows * columns)
  for (const { b, a, rank, scale } of products) {
    const product = multiply(b, a, rows, rank, columns)
    for (let i = 0; i < sum.length; i++) sum[i]! += scale * product[i]!
  }
  return sum
}

/**
 * @param values - of any shape
 * @param minus - subtracted first
 * @returns the Frobenius norm of values − minus
 */
export function frobenius(values: ArrayLike<number>, minus?: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += (values[i]! - (minus?.[i] ?? 0)) ** 2
  return Math.sqrt(sum)
}

/**
 * @param values - singular values, descending
 * @param keep - components kept
 * @returns √Σσ² of the others: the least error that any matrix of that rank can have (Eckart, Young 1936)
 */
export function optimalError(values: Float64Array, keep: number): number {
  return Math.sqrt(values.slice(keep).reduceRight((sum, sigma) => sum + sigma * sigma, 0))
}

/**
 * @param vectors - [count × length], row-major
 * @param count - of vectors
 * @param length - of each
 * @returns largest entry of |V·Vᵀ − 1|
 */
export function orthogonalityDefect(vectors: ArrayLike<number>, count: number, length: number): number {
  let worst = 0
  for (let i = 0; i < count; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = i === j ? -1 : 0
      for (let k = 0; k < length; k++) sum += vectors[i * length + k]! * vectors[j * length + k]!
      worst = Math.max(worst, Math.abs(sum))
    }
  }
  return worst
}
