import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { decodeFloats } from '../reference/float-convert.js'
import { type Random, seededRandom } from './random.js'
import { randomFloats } from './random-floats.js'
import type { TinyTensor } from './tiny-checkpoint.js'
import type { TinyFactors, TinyLayer } from './write-adapter.js'

/** A base with everything that an adapter can be laid over, and what it cannot change. */
export function loraBase(seed = 1, dtype: FloatDtype = 'F32'): Record<string, TinyTensor> {
  const random = seededRandom(seed)
  return {
    'model.embed.weight': floats(random, dtype, [11, 6]),
    'model.l0.q.weight': floats(random, dtype, [8, 6]),
    'model.l0.q.bias': floats(random, dtype, [8]),
    'model.l0.square.weight': floats(random, dtype, [6, 6]),
    'model.l1.c.weight': floats(random, dtype, [6, 9]),
    'model.conv.weight': floats(random, dtype, [4, 3, 3, 3]),
    'model.norm.weight': floats(random, dtype, [6]),
    'head.weight': floats(random, dtype, [2, 6]),
    ids: { dtype: 'I64', shape: [2], data: [3, 4] },
  }
}

/** Layers over {@link loraBase}: linear, square, convolution, table. */
export function loraLayers(rank = 3): Record<string, TinyLayer> {
  return {
    'model.conv': { kind: 'conv2d', rows: 4, columns: 3, rank },
    'model.embed': { kind: 'embedding', rows: 6, columns: 11, rank },
    'model.l0.q': { rows: 8, columns: 6, rank },
    'model.l0.square': { rows: 6, columns: 6, rank },
  }
}

/** A random floating tensor. */
export function floats(random: Random, dtype: FloatDtype, shape: readonly number[]): TinyTensor {
  const count = shape.reduce((product, extent) => product * extent, 1)
  return { dtype, shape, data: randomFloats(random, dtype, count, 'normal') }
}

/** s·B·A in f64, [rows × columns] row-major, kernels flattened; `transposed`: its transpose. */
export function naiveProduct(
  { a, b }: TinyFactors,
  rank: number,
  scale: number,
  transposed = false,
): { rows: number; columns: number; values: Float64Array } {
  const rows = b.length / rank
  const columns = a.length / rank
  const values = new Float64Array(rows * columns)
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0
      for (let k = 0; k < rank; k++) sum += b[i * rank + k]! * a[k * columns + j]!
      values[transposed ? j * rows + i : i * columns + j] = scale * sum
    }
  }
  return transposed ? { rows: columns, columns: rows, values } : { rows, columns, values }
}

/** Relative spacing of a dtype's values. */
export const EPSILON: Record<FloatDtype, number> = {
  F32: 2 ** -23,
  F16: 2 ** -10,
  BF16: 2 ** -7,
  F8_E4M3: 2 ** -3,
  F8_E5M2: 2 ** -2,
}

/**
 * How far values are from base + change, beyond what f32 arithmetic and the rounding to dtype allow. 0 or less: fine.
 *
 * @param change - s·B·A in the weight's orientation
 * @param terms - size of the sums' terms: rank and so on
 */
export function excessError(
  dtype: FloatDtype,
  found: Uint8Array,
  base: TinyTensor,
  change: Float64Array,
  slack = 1e-5,
): number {
  const got = decodeFloats(dtype, found)
  const from = decodeFloats(base.dtype as FloatDtype, base.data as Uint8Array)
  let worst = Number.NEGATIVE_INFINITY
  for (const [i, value] of got.entries()) {
    const wanted = from[i]! + change[i]!
    const allowed = EPSILON[dtype] * Math.abs(wanted) + slack * (1 + Math.abs(change[i]!))
    worst = Math.max(worst, Math.abs(value - wanted) - allowed)
  }
  return worst
}
