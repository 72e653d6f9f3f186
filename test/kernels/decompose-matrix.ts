import type { FloatDtype, RandomizedSvdJob } from '../../lib/binding/binding-types.js'
import type { Random } from '../helpers/random.js'
import { decodeFloats, encodeFloats, FLOAT_FIELDS } from '../reference/float-convert.js'
import { frobenius, multiply } from '../reference/low-rank.js'
import { transpose } from '../reference/svd.js'
import { native } from './addon.js'
import { orthonormalRows } from './low-rank-jobs.js'
import type { RegionMaker } from './regions.js'

/** A matrix to decompose. */
export interface Matrix {
  rows: number
  columns: number
  values: Float64Array
}

/** What came out. */
export interface Found {
  kept: number
  singularValues: Float64Array
  squaredNorm: number
  b: Float32Array
  a: Float32Array
  /** Outputs and singular values. */
  bytes: Uint8Array
  /** ‖stored − b·a‖ */
  error: number
  /** The matrix as the engine read it. */
  stored: Float64Array
}

type Options = Partial<Omit<RandomizedSvdJob, 'matrix' | 'minus' | 'outB' | 'outA'>> & {
  dtype?: FloatDtype
  out?: FloatDtype
  minus?: Float64Array
  threads?: number
}

/** Runs the job with usual options and measures its error. */
export async function decompose(regions: RegionMaker, matrix: Matrix, options: Options): Promise<Found> {
  const { dtype = 'F32', out = 'F32', minus, threads, ...rest } = options
  const { rows, columns } = matrix
  const { rank = 1 } = rest
  const operand = (values: Float64Array) => ({ region: regions.input(encodeFloats(dtype, values)), dtype })
  const item = FLOAT_FIELDS[out].bytes
  const outB = regions.output(rows * rank * item)
  const outA = regions.output(rank * columns * item)
  const job: RandomizedSvdJob = {
    name: 'w',
    rows,
    columns,
    energy: null,
    oversample: 8,
    powerIters: 2,
    seed: 5,
    split: 'sqrt',
    ...rest,
    rank,
    matrix: operand(matrix.values),
    minus: minus === undefined ? null : operand(minus),
    outB: { region: outB.region, dtype: out },
    outA: { region: outA.region, dtype: out },
  }
  const result = await native.randomizedSvd(job, threads === undefined ? {} : { threads })
  const { kept, singularValues } = result
  const b = decodeFloats(out, outB.read()).slice(0, rows * kept)
  const a = decodeFloats(out, outA.read()).slice(0, kept * columns)
  const base = minus === undefined ? undefined : decodeFloats(dtype, encodeFloats(dtype, minus))
  const stored = Float64Array.from(decodeFloats(dtype, encodeFloats(dtype, matrix.values)), (x, i) =>
    Math.fround(x - (base?.[i] ?? 0)),
  )
  const bytes = Buffer.concat([outB.read(), outA.read(), new Uint8Array(singularValues.buffer)])
  const error = frobenius(multiply(b, a, rows, kept, columns), stored)
  return { ...result, b, a, bytes, error, stored }
}

/** U·diag(s)·Vᵀ with random U and V. */
export function withValues(
  random: Random,
  rows: number,
  columns: number,
  s: (i: number) => number,
  count = Math.min(rows, columns),
): Matrix {
  const u = transpose(orthonormalRows(random, count, rows), count, rows)
  const scaled = u.map((x, i) => x * s(i % count))
  return {
    rows,
    columns,
    values: multiply(scaled, orthonormalRows(random, count, columns), rows, count, columns),
  }
}

/** s(0) … s(count − 1). */
export const valuesOf = (s: (i: number) => number, count: number) =>
  Float64Array.from({ length: count }, (_, i) => s(i))
