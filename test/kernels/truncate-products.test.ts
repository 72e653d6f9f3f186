import test from 'ava'
import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { seededRandom } from '../helpers/random.js'
import { FLOAT_DTYPES } from '../reference/float-convert.js'
import {
  frobenius,
  multiply,
  type NaiveProduct,
  optimalError,
  orthogonalityDefect,
  sumOfProducts,
} from '../reference/low-rank.js'
import { jacobiSvd, transpose } from '../reference/svd.js'
import { type NativeError, native } from './addon.js'
import { normals, orthonormalRows, storeProduct, truncate } from './low-rank-jobs.js'
import { differ, type RegionMaker, regionMaker } from './regions.js'

/** Relative error that rounding the factors to a dtype may add. */
const ROUNDING: Record<FloatDtype, number> = {
  F32: 1e-6,
  F16: 2e-3,
  BF16: 1.2e-2,
  F8_E4M3: 0.15,
  F8_E5M2: 0.3,
}

interface Case {
  rows: number
  columns: number
  products: NaiveProduct[]
  keep: number
}

const random = seededRandom(2201)

function gaussian(rows: number, columns: number, rank: number, scale = 1): NaiveProduct {
  return { b: normals(random, rows * rank), a: normals(random, rank * columns), rank, scale }
}

/** B = U·diag(s) and A = Vᵀ with given singular values. */
function withValues(rows: number, columns: number, s: number[]): NaiveProduct {
  const u = transpose(orthonormalRows(random, s.length, rows), s.length, rows)
  const b = u.map((x, i) => x * s[i % s.length]!)
  return { b, a: orthonormalRows(random, s.length, columns), rank: s.length, scale: 1 }
}

/** B whose columns nearly coincide: Cholesky must give way to Householder. */
function nearlyDependent(rows: number, columns: number, rank: number): NaiveProduct {
  const product = gaussian(rows, columns, rank)
  const b = Float64Array.from(product.b)
  for (let i = 0; i < rows; i++) {
    for (let j = 1; j < rank; j++) b[i * rank + j] = b[i * rank]! + 1e-5 * b[i * rank + j]!
  }
  return { ...product, b }
}

const CASES: Record<string, () => Case> = {
  'r 8 to 3': () => ({ rows: 40, columns: 30, products: [gaussian(40, 30, 8)], keep: 3 }),
  'rank 1': () => ({ rows: 20, columns: 31, products: [gaussian(20, 31, 1)], keep: 1 }),
  'keep all': () => ({ rows: 20, columns: 31, products: [gaussian(20, 31, 5)], keep: 5 }),
  'keep more than there is': () => ({ rows: 6, columns: 9, products: [gaussian(6, 9, 4)], keep: 11 }),
  'keep nothing': () => ({ rows: 6, columns: 9, products: [gaussian(6, 9, 4)], keep: 0 }),
  'r above rows': () => ({ rows: 5, columns: 30, products: [gaussian(5, 30, 12)], keep: 3 }),
  'r above columns': () => ({ rows: 30, columns: 5, products: [gaussian(30, 5, 12)], keep: 3 }),
  'r above both': () => ({ rows: 7, columns: 6, products: [gaussian(7, 6, 20)], keep: 6 }),
  'one row': () => ({ rows: 1, columns: 17, products: [gaussian(1, 17, 4)], keep: 1 }),
  'one column': () => ({ rows: 17, columns: 1, products: [gaussian(17, 1, 4)], keep: 2 }),
  'repeated values': () => ({
    rows: 25,
    columns: 25,
    products: [withValues(25, 25, [2, 2, 2, 1, 1, 0.5])],
    keep: 4,
  }),
  'zero and tiny values': () => ({
    rows: 25,
    columns: 22,
    products: [withValues(25, 22, [1, 1e-4, 1e-9, 0, 0])],
    keep: 3,
  }),
  'a zero adapter (B as LoRA starts)': () => ({
    rows: 12,
    columns: 9,
    products: [{ ...gaussian(12, 9, 4), b: new Float64Array(48) }],
    keep: 2,
  }),
  'scale 0': () => ({ rows: 12, columns: 9, products: [gaussian(12, 9, 4, 0)], keep: 2 }),
  'negative scale': () => ({ rows: 12, columns: 9, products: [gaussian(12, 9, 4, -2.5)], keep: 2 }),
  'nearly dependent columns': () => ({
    rows: 60,
    columns: 40,
    products: [nearlyDependent(60, 40, 6)],
    keep: 2,
  }),
  'three products of different ranks': () => ({
    rows: 33,
    columns: 27,
    products: [gaussian(33, 27, 4, 0.5), gaussian(33, 27, 1, -1), gaussian(33, 27, 7, 2)],
    keep: 5,
  }),
  'a product and its opposite': () => {
    const one = gaussian(15, 14, 3)
    return { rows: 15, columns: 14, products: [one, { ...one, scale: -1 }], keep: 2 }
  },
  'ranks of 0 among others': () => ({
    rows: 15,
    columns: 14,
    products: [gaussian(15, 14, 0), gaussian(15, 14, 3), gaussian(15, 14, 0)],
    keep: 2,
  }),
}

/** Truncates a case and compares with the naive decomposition of the sum of its stored products. */
async function check(
  t: import('ava').ExecutionContext,
  regions: RegionMaker,
  { rows, columns, products, keep }: Case,
  input: FloatDtype,
  output: FloatDtype,
  label: string,
): Promise<void> {
  const stored = products.map((product) => storeProduct(regions, input, product))
  const dense = sumOfProducts(
    stored.map((product) => product.naive),
    rows,
    columns,
  )
  const norm = frobenius(dense)
  // Products that cancel leave the rounding of f64 behind.
  const parts = products.map(({ b, a, scale }) => Math.abs(scale) * frobenius(b) * frobenius(a))
  const noise = 1e-14 * parts.reduce((sum, part) => sum + part, 0)
  const rank = products.reduce((sum, product) => sum + product.rank, 0)
  const expected = jacobiSvd(dense, rows, columns).s.slice(0, Math.min(rows, columns, rank))
  const found = await truncate(regions, { rows, columns, products: stored, keep }, { dtype: output })
  t.is(found.values.length, expected.length, label)
  for (const [i, sigma] of found.values.entries())
    t.true(Math.abs(sigma - expected[i]!) <= 1e-7 * (expected[0] ?? 0) + noise, `${label}, σ ${i}: ${sigma}`)
  const error = frobenius(found.product, dense)
  const least = optimalError(expected, keep)
  t.true(
    error <= (1 + 1e-4) * least + ROUNDING[output] * norm + noise,
    `${label}: ${error}, least ${least} of ${norm}`,
  )
}

for (const [name, make] of Object.entries(CASES)) {
  test.serial(name, async (t) => {
    const regions = regionMaker(t, random)
    await check(t, regions, make(), 'F32', 'F32', name)
  })
}

test.serial('every dtype in, every dtype out', async (t) => {
  const regions = regionMaker(t, random)
  for (const input of FLOAT_DTYPES) {
    for (const output of FLOAT_DTYPES) {
      const layer = { rows: 18, columns: 23, products: [gaussian(18, 23, 5)], keep: 3 }
      await check(t, regions, layer, input, output, `${input} → ${output}`)
    }
    regions.clear()
  }
})

test.serial('random shapes', async (t) => {
  const seed = Date.now() % 2 ** 31
  t.log(`seed ${seed}`)
  const own = seededRandom(seed)
  const regions = regionMaker(t, own)
  for (let round = 0; round < 60; round++) {
    const [rows, columns] = [1 + own.below(40), 1 + own.below(40)]
    const products = Array.from({ length: 1 + own.below(3) }, () =>
      gaussian(rows, columns, own.below(12), own.normal()),
    )
    const keep = own.below(15)
    const label = `seed ${seed}, round ${round}: ${rows} × ${columns}, ranks ${products.map((p) => p.rank)}, keep ${keep}`
    await check(t, regions, { rows, columns, products, keep }, own.pick(['F32', 'BF16', 'F16']), 'F32', label)
    regions.clear()
  }
})

test.serial('split none: orthonormal sides, signs by the largest entry', async (t) => {
  const regions = regionMaker(t, random)
  const [rows, columns, keep] = [50, 41, 6]
  for (const product of [gaussian(rows, columns, 9), nearlyDependent(rows, columns, 9)]) {
    const stored = storeProduct(regions, 'F32', product)
    const found = await truncate(regions, { rows, columns, products: [stored], keep }, { split: 'none' })
    t.true(orthogonalityDefect(transpose(found.b, rows, keep), keep, rows) < 1e-6)
    t.true(orthogonalityDefect(found.a, keep, columns) < 1e-6)
    const scaled = found.b.map((x, i) => x * found.values[i % keep]!)
    const dense = sumOfProducts([stored.naive], rows, columns)
    const least = optimalError(found.values, keep)
    t.true(
      frobenius(multiply(scaled, found.a, rows, keep, columns), dense) <=
        1.0001 * least + 1e-6 * frobenius(dense),
    )
  }
})

test.serial('split sqrt: both sides have the same column norms', async (t) => {
  const regions = regionMaker(t, random)
  const stored = storeProduct(regions, 'F32', gaussian(30, 20, 6))
  const { a, b, values } = await truncate(regions, { rows: 30, columns: 20, products: [stored], keep: 4 })
  for (let j = 0; j < 4; j++) {
    const ofB = frobenius(Float64Array.from({ length: 30 }, (_, i) => b[i * 4 + j]!))
    t.true(Math.abs(ofB - Math.sqrt(values[j]!)) < 1e-5 * ofB)
    t.true(Math.abs(frobenius(a.subarray(j * 20, (j + 1) * 20)) - ofB) < 1e-5 * ofB)
  }
})

test.serial('the same bits for any number of threads, in each SIMD target', async (t) => {
  const regions = regionMaker(t, random)
  const products = [
    storeProduct(regions, 'BF16', gaussian(700, 300, 20)),
    storeProduct(regions, 'F16', nearlyDependent(700, 300, 5)),
  ]
  const layer = { rows: 700, columns: 300, products, keep: 10 }
  let first: Uint8Array | undefined
  await forEachSimdTarget(native, async (target) => {
    for (const threads of [1, 2, 3, 7]) {
      const { bytes, values } = await truncate(regions, layer, { threads })
      const all = Buffer.concat([bytes, new Uint8Array(values.buffer)])
      first ??= all
      t.is(differ(all, first), '', `${target}, ${threads} threads`)
    }
  })
})

test.serial('many layers in one job, and singular values only', async (t) => {
  const regions = regionMaker(t, random)
  const stored = Array.from({ length: 9 }, (_, i) => ({
    rows: 10 + i,
    columns: 30 - i,
    products: [storeProduct(regions, 'F32', gaussian(10 + i, 30 - i, 1 + i))],
  }))
  const layers = stored.map(({ rows, columns, products }, i) => {
    const shape = { name: `w${i}`, rows, columns, products: products.map(({ job }) => job) }
    return { ...shape, keep: null, outB: null, outA: null }
  })
  const all = await native.truncateProducts({ layers, split: 'sqrt' }, { threads: 3 })
  for (const [i, values] of all.entries()) {
    const alone = await truncate(regions, { ...stored[i]!, keep: 2 })
    t.is(values.length, 1 + i)
    t.true(values.every((sigma, j) => Math.abs(sigma - alone.values[j]!) <= 1e-12 * values[0]!))
  }
  t.deepEqual(await native.truncateProducts({ layers: [], split: 'none' }, {}), [])
})

test.serial('empty shapes', async (t) => {
  const regions = regionMaker(t, random)
  for (const [rows, columns, rank, keep] of [
    [0, 5, 2, 2],
    [5, 0, 2, 2],
    [0, 0, 0, 0],
    [4, 5, 0, 3],
    [0, 7, 9, 0],
  ] as const) {
    const products = [storeProduct(regions, 'F32', gaussian(rows, columns, rank))]
    const found = await truncate(regions, { rows, columns, products, keep })
    t.is(found.values.length, 0)
    t.true([...found.b, ...found.a].every((x) => x === 0))
  }
})

test.serial('NaN and infinity are named, and so is a result that is too large', async (t) => {
  const regions = regionMaker(t, random)
  for (const [bad, operand, at] of [
    [Number.NaN, 'b', 17],
    [Number.POSITIVE_INFINITY, 'a', 33],
    [Number.NEGATIVE_INFINITY, 'b', 0],
  ] as const) {
    const product = gaussian(20, 15, 3)
    ;(product[operand] as Float64Array)[at] = bad
    const stored = storeProduct(regions, 'BF16', product)
    const error = await t.throwsAsync<NativeError>(
      truncate(regions, { rows: 20, columns: 15, products: [stored], keep: 2 }),
    )
    t.like(error, { code: 'NON_FINITE', tensor: 'w', operand, index: at })
  }
  const large = storeProduct(regions, 'F32', { b: [1e6, 1e6], a: [1e6, 1e6, 1e6], rank: 1, scale: 1 })
  const layer = { rows: 2, columns: 3, products: [large], keep: 1 }
  const error = await t.throwsAsync<NativeError>(truncate(regions, layer, { dtype: 'F16' }))
  t.like(error, { code: 'NON_FINITE', tensor: 'w', operand: 'outB', index: 0 })
  t.regex(error.hint!, /bf16 or f32/)
  await t.notThrowsAsync(truncate(regions, layer, { dtype: 'BF16' }))
  const extreme = storeProduct(regions, 'F32', { b: [3e38, 1e38], a: [3e38, 0, 3e38], rank: 1, scale: 3e38 })
  t.like(await t.throwsAsync(truncate(regions, { ...layer, products: [extreme] })), { code: 'NON_FINITE' })
  const faint = storeProduct(regions, 'F32', {
    b: [1e-45, 1e-45],
    a: [1e-45, 0, 1e-45],
    rank: 1,
    scale: 1e-300,
  })
  t.true((await truncate(regions, { ...layer, products: [faint] })).product.every((x) => x === 0))
})

test.serial('lengths, shapes and files are checked', async (t) => {
  const regions = regionMaker(t, random)
  const stored = storeProduct(regions, 'F32', gaussian(4, 5, 2))
  const bytes = (n: number) => ({ region: new Uint8Array(n), dtype: 'F32' as const })
  const good = {
    name: 'w',
    rows: 4,
    columns: 5,
    products: [stored.job],
    keep: 1,
    outB: bytes(16),
    outA: bytes(20),
  }
  const readOnly = { region: regions.input(new Uint8Array(16), 'file'), dtype: 'F32' as const }
  const wrong: [object, string, string?][] = [
    [{ rows: 3 }, 'INVALID_ARGUMENT', 'b'],
    [{ columns: 6 }, 'INVALID_ARGUMENT', 'a'],
    [{ outB: bytes(12) }, 'INVALID_ARGUMENT', 'outB'],
    [{ outA: bytes(24) }, 'INVALID_ARGUMENT', 'outA'],
    [{ outB: readOnly }, 'INVALID_ARGUMENT', 'outB'],
    [{ keep: null }, 'INVALID_ARGUMENT'],
    [{ outA: null }, 'INVALID_ARGUMENT'],
    [{ products: [] }, 'INVALID_ARGUMENT'],
    [{ rows: 2 ** 31 }, 'SIZE_OVERFLOW'],
    [{ keep: 65537 }, 'INVALID_ARGUMENT'],
    [{ products: [{ ...stored.job, scale: Number.NaN }] }, 'INVALID_ARGUMENT'],
    [{ products: [{ ...stored.job, scale: 1e39 }] }, 'INVALID_ARGUMENT'],
    [{ products: [{ ...stored.job, rank: 65537 }] }, 'INVALID_ARGUMENT'],
  ]
  for (const [change, code, operand] of wrong) {
    const job = { layers: [{ ...good, ...change }], split: 'sqrt' as const }
    const error = await t.throwsAsync<NativeError>(async () => native.truncateProducts(job as never, {}))
    t.is(error.code, code, JSON.stringify(Object.keys(change)))
    if (operand !== undefined) t.is(error.operand, operand)
  }
})
