import type { FloatDtype } from '../binding/binding-types.js'
import { native } from '../binding/load-binding.js'
import { checkFloats, checkLength, type FloatArray, operandOf } from './float-array.js'
import { checkWhole } from './matrix-arguments.js'
import { type DeviceKernelOptions, runKernel } from './run-kernel.js'

/** Options of {@link randomizedSvd}. */
export interface RandomizedSvdOptions extends DeviceKernelOptions {
  /** Rows of the matrix. */
  rows: number
  /** Columns of the matrix. */
  columns: number
  /** Components wanted, 1 to min(rows, columns). */
  rank: number
  /** Extra columns of the sketch, 0 to 4096. Default 8. */
  oversample?: number
  /** Power iterations, 0 to 100; two serve slowly falling singular values well. Default 2. */
  powerIters?: number
  /** 0 to 2^53 − 1: the same seed gives the same bits on one device, whatever the number of threads. Default 0. */
  seed?: number
  /** Decomposes matrix − minus, subtracted in f32; of the same dtype and length. */
  minus?: FloatArray
  /** What the arrays hold; may be left out for a Float32Array. */
  dtype?: FloatDtype
}

/** A truncated singular value decomposition, U · diag(s) · Vᵀ. */
export interface TruncatedSvd {
  /** [rows × rank], row-major, orthonormal columns; the entry of largest magnitude of each is positive. */
  u: Float32Array
  /** [rank], descending. */
  s: Float64Array
  /** [rank × columns], row-major, orthonormal rows. */
  vt: Float32Array
  /** ‖D − U·diag(s)·Vᵀ‖ / ‖D‖ (Frobenius), from ‖D‖² − Σs² in f64. */
  relativeError: number
}

/** Result of {@link randomizedSvd}. */
export interface RandomizedSvd extends TruncatedSvd {
  /** ‖D‖² (Frobenius), summed in f64. */
  squaredNorm: number
}

/**
 * Leading singular values and vectors of a dense matrix, from a random sketch: Halko, Martinsson and Tropp, "Finding
 * structure with randomness" (SIAM Review 53, 2011), algorithms 4.4 (power iterations with orthonormal bases) and 5.1
 * (decomposition of the projected matrix). With rank + oversample ≥ min(rows, columns) the result is exact.
 *
 * @param matrix - [rows × columns], row-major
 * @param options - shape, rank, and how thorough the sketch is
 * @returns U, s and Vᵀ in f32, with the error they leave
 * @throws TaskfoldError INVALID_ARGUMENT, NON_FINITE with the index of a NaN or infinity, OUT_OF_MEMORY, CANCELLED, DEVICE_UNAVAILABLE
 *
 * @example
 * ```ts
 * const { u, s, vt, relativeError } = await randomizedSvd(tuned, { minus: base, rows: 768, columns: 768, rank: 16 })
 * ```
 */
export async function randomizedSvd(
  matrix: FloatArray,
  options: RandomizedSvdOptions,
): Promise<RandomizedSvd> {
  const { minus } = options
  const dtype = checkFloats('matrix', matrix, options.dtype)
  const rows = checkWhole('rows', options.rows, 1, 2 ** 31 - 1)
  const columns = checkWhole('columns', options.columns, 1, 2 ** 31 - 1)
  const rank = checkWhole('rank', options.rank, 1, Math.min(rows, columns, 65536))
  checkLength('matrix', matrix, rows * columns)
  if (minus !== undefined) {
    checkFloats('minus', minus, dtype)
    checkLength('minus', minus, rows * columns)
  }
  const u = new Float32Array(rows * rank)
  const vt = new Float32Array(rank * columns)
  const job = {
    name: 'matrix',
    rows,
    columns,
    matrix: operandOf(matrix, dtype),
    minus: minus === undefined ? null : operandOf(minus, dtype),
    rank,
    energy: null,
    oversample: checkWhole('oversample', options.oversample ?? 8, 0, 4096),
    powerIters: checkWhole('powerIters', options.powerIters ?? 2, 0, 100),
    seed: checkWhole('seed', options.seed ?? 0, 0, Number.MAX_SAFE_INTEGER),
    split: 'none' as const,
    outB: operandOf(u, 'F32'),
    outA: operandOf(vt, 'F32'),
  }
  const found = await runKernel(options, (control) => native().randomizedSvd(job, control))
  const s = found.singularValues
  return { u, s, vt, squaredNorm: found.squaredNorm, relativeError: relativeErrorOf(found.squaredNorm, s) }
}

/** The components left out are orthogonal to those kept: their squares are ‖D‖² − Σσ². */
function relativeErrorOf(squaredNorm: number, kept: Float64Array): number {
  if (squaredNorm === 0) return 0
  const left = kept.reduce((sum, sigma) => sum - sigma * sigma, squaredNorm)
  return Math.sqrt(Math.max(0, left) / squaredNorm)
}
