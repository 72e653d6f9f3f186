import type { FloatDtype, LowRankProduct, SvdSplit } from '../../lib/binding/binding-types.js'
import type { Random } from '../helpers/random.js'
import { decodeFloats, encodeFloats, FLOAT_FIELDS } from '../reference/float-convert.js'
import { multiply, type NaiveProduct } from '../reference/low-rank.js'
import { native } from './addon.js'
import type { OutputRegion, RegionMaker } from './regions.js'

/** A product as the engine gets it, and the numbers that are really stored. */
export interface StoredProduct {
  job: LowRankProduct
  naive: NaiveProduct
}

/**
 * @param regions - makes the operands, anywhere
 * @param dtype - both factors are rounded to it
 * @param product - wanted numbers
 */
export function storeProduct(regions: RegionMaker, dtype: FloatDtype, product: NaiveProduct): StoredProduct {
  const { rank, scale } = product
  const b = encodeFloats(dtype, product.b)
  const a = encodeFloats(dtype, product.a)
  const operand = (bytes: Uint8Array) => ({ region: regions.input(bytes), dtype })
  return {
    job: { b: operand(b), a: operand(a), rank, scale },
    naive: { b: decodeFloats(dtype, b), a: decodeFloats(dtype, a), rank, scale },
  }
}

/**
 * @param random - source
 * @param length - how many
 * @returns values about N(0, 1)
 */
export function normals(random: Random, length: number): Float64Array {
  return Float64Array.from({ length }, () => random.normal())
}

/**
 * @param random - source
 * @param count - of vectors, at most length
 * @param length - of each
 * @returns [count × length] orthonormal rows (Gram–Schmidt, twice)
 */
export function orthonormalRows(random: Random, count: number, length: number): Float64Array {
  const rows = normals(random, count * length)
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * length, (i + 1) * length)
    for (let round = 0; round < 2; round++) {
      for (let j = 0; j < i; j++) {
        const other = rows.subarray(j * length, (j + 1) * length)
        let sum = 0
        for (let k = 0; k < length; k++) sum += row[k]! * other[k]!
        for (let k = 0; k < length; k++) row[k]! -= sum * other[k]!
      }
      const norm = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0))
      for (let k = 0; k < length; k++) row[k]! /= norm
    }
  }
  return rows
}

/** What truncateProducts wrote for one layer. */
export interface Truncated {
  values: Float64Array
  /** [rows × keep] and [keep × columns] as numbers. */
  b: Float32Array
  a: Float32Array
  /** Their bytes. */
  bytes: Uint8Array
  /** b · a */
  product: Float64Array
}

/**
 * Truncates one layer.
 *
 * @param regions - makes the outputs, anywhere
 * @param layer - shape, products and what to keep
 * @param options - dtype of the outputs, split, threads
 */
export async function truncate(
  regions: RegionMaker,
  layer: { rows: number; columns: number; products: StoredProduct[]; keep: number },
  options: { dtype?: FloatDtype; split?: SvdSplit; threads?: number } = {},
): Promise<Truncated> {
  const { dtype = 'F32', split = 'sqrt', threads } = options
  const { rows, columns, keep } = layer
  const outB = regions.output(rows * keep * FLOAT_FIELDS[dtype].bytes)
  const outA = regions.output(keep * columns * FLOAT_FIELDS[dtype].bytes)
  const operand = (out: OutputRegion) => ({ region: out.region, dtype })
  const products = layer.products.map((product) => product.job)
  const job = { ...layer, name: 'w', products, outB: operand(outB), outA: operand(outA) }
  const [values] = await native.truncateProducts(
    { layers: [job], split },
    threads === undefined ? {} : { threads },
  )
  const [b, a] = [decodeFloats(dtype, outB.read()), decodeFloats(dtype, outA.read())]
  const bytes = Buffer.concat([outB.read(), outA.read()])
  return { values: values!, b, a, bytes, product: multiply(b, a, rows, keep, columns) }
}
