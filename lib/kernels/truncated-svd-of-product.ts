import type { FloatDtype } from '../binding/binding-types.js'
import { native } from '../binding/load-binding.js'
import { checkFloats, checkLength, type FloatArray, operandOf } from './float-array.js'
import { checkWhole } from './matrix-arguments.js'
import type { TruncatedSvd } from './randomized-svd.js'
import { type DeviceKernelOptions, runKernel } from './run-kernel.js'

/** Options of {@link truncatedSvdOfProduct}. */
export interface ProductSvdOptions extends DeviceKernelOptions {
  /** Rows of B and of the product. */
  rows: number
  /** Columns of A and of the product. */
  columns: number
  /** Columns of B and rows of A. */
  rank: number
  /** What the arrays hold; may be left out for Float32Arrays. */
  dtype?: FloatDtype
}

/** Result of {@link truncatedSvdOfProduct}. */
export interface ProductSvd extends TruncatedSvd {
  /** All min(rows, columns, rank) singular values of the product, descending. */
  singularValues: Float64Array
}

/**
 * The best approximation of a low-rank product B·A with fewer components, without forming it: thin QR of B and of Aᵀ,
 * then the singular value decomposition of the small core in f64. Its error is the least possible (Eckart, Young 1936).
 *
 * @param b - B [rows × rank], row-major
 * @param a - A [rank × columns], row-major
 * @param q - components wanted, at least 1; no more than min(rows, columns, rank) are given
 * @param options - shape
 * @returns U, s and Vᵀ of min(q, rows, columns, rank) components in f32, with the error they leave
 * @throws TaskfoldError INVALID_ARGUMENT, NON_FINITE with the index of a NaN or infinity, OUT_OF_MEMORY, CANCELLED, DEVICE_UNAVAILABLE
 */
export async function truncatedSvdOfProduct(
  b: FloatArray,
  a: FloatArray,
  q: number,
  options: ProductSvdOptions,
): Promise<ProductSvd> {
  const dtype = checkFloats('b', b, options.dtype)
  checkFloats('a', a, dtype)
  const rows = checkWhole('rows', options.rows, 0, 2 ** 31 - 1)
  const columns = checkWhole('columns', options.columns, 0, 2 ** 31 - 1)
  const rank = checkWhole('rank', options.rank, 0, 65536)
  checkLength('b', b, rows * rank)
  checkLength('a', a, rank * columns)
  const keep = Math.min(checkWhole('q', q, 1, Number.MAX_SAFE_INTEGER), rows, columns, rank)
  const u = new Float32Array(rows * keep)
  const vt = new Float32Array(keep * columns)
  const layer = {
    name: 'product',
    rows,
    columns,
    products: [{ b: operandOf(b, dtype), a: operandOf(a, dtype), rank, scale: 1 }],
    keep,
    outB: operandOf(u, 'F32'),
    outA: operandOf(vt, 'F32'),
  }
  const job = { layers: [layer], split: 'none' as const }
  const [values] = await runKernel(options, (control) => native().truncateProducts(job, control))
  const singularValues = values!
  const s = singularValues.slice(0, keep)
  const squaredNorm = singularValues.reduce((sum, sigma) => sum + sigma * sigma, 0)
  // Summed up from the small end: what was left out, without cancellation.
  const left = singularValues.subarray(keep).reduceRight((sum, sigma) => sum + sigma * sigma, 0)
  const relativeError = squaredNorm === 0 ? 0 : Math.sqrt(left / squaredNorm)
  return { u, s, vt, singularValues, relativeError }
}
