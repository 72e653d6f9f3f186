import test from 'ava'
import { randomizedSvd, truncatedSvdOfProduct } from '../../../lib/kernels.js'
import { seededRandom } from '../../helpers/random.js'
import { frobenius, multiply, optimalError } from '../../reference/low-rank.js'
import { jacobiSvd } from '../../reference/svd.js'

const random = seededRandom(2501)
const normals = (length: number) => Float32Array.from({ length }, () => random.normal())

/** U · diag(s) · Vᵀ */
function rebuilt(svd: { u: Float32Array; s: Float64Array; vt: Float32Array }, rows: number, columns: number) {
  const rank = svd.s.length
  const scaled = Float64Array.from(svd.u, (x, i) => x * svd.s[i % rank]!)
  return multiply(scaled, svd.vt, rows, rank, columns)
}

test('randomizedSvd: the error is what it says, for a matrix and for a difference', async (t) => {
  const [rows, columns, rank] = [60, 45, 6]
  const matrix = normals(rows * columns)
  const minus = matrix.map((x) => x + random.normal() / 10)
  for (const options of [{}, { minus }]) {
    const svd = await randomizedSvd(matrix, { rows, columns, rank, powerIters: 4, ...options })
    const dense = Float64Array.from(matrix, (x, i) => Math.fround(x - (options.minus?.[i] ?? 0)))
    const norm = frobenius(dense)
    t.deepEqual([svd.u.length, svd.s.length, svd.vt.length], [rows * rank, rank, rank * columns])
    t.true(Math.abs(svd.squaredNorm / norm ** 2 - 1) < 1e-12)
    const error = frobenius(rebuilt(svd, rows, columns), dense) / norm
    t.true(Math.abs(error - svd.relativeError) < 1e-4, `${error} ${svd.relativeError}`)
    t.true(error <= (1.05 * optimalError(jacobiSvd(dense, rows, columns).s, rank)) / norm)
  }
})

test('randomizedSvd: raw bf16 and defaults', async (t) => {
  const bf16 = new Uint16Array([0x4040, 0, 0, 0x4000]) // [[3, 0], [0, 2]]
  const svd = await randomizedSvd(bf16, { rows: 2, columns: 2, rank: 1, dtype: 'BF16' })
  t.deepEqual(svd.u, new Float32Array([1, 0]))
  t.true(Math.abs(svd.s[0]! - 3) < 1e-12)
  t.deepEqual(svd.vt, new Float32Array([1, 0]))
  t.true(Math.abs(svd.relativeError - 2 / Math.sqrt(13)) < 1e-12)
  const zero = await randomizedSvd(new Float32Array(6), { rows: 2, columns: 3, rank: 2 })
  t.is(zero.relativeError, 0)
})

test('truncatedSvdOfProduct: the least error, and all singular values', async (t) => {
  const [rows, columns, rank] = [31, 44, 9]
  const [b, a] = [normals(rows * rank), normals(rank * columns)]
  const dense = multiply(b, a, rows, rank, columns)
  const svd = await truncatedSvdOfProduct(b, a, 4, { rows, columns, rank })
  const { s } = jacobiSvd(dense, rows, columns)
  t.is(svd.singularValues.length, rank)
  t.true(svd.singularValues.every((x, i) => Math.abs(x - s[i]!) < 1e-9 * s[0]!))
  t.deepEqual(svd.s, svd.singularValues.slice(0, 4))
  const error = frobenius(rebuilt(svd, rows, columns), dense) / frobenius(dense)
  t.true(Math.abs(error - svd.relativeError) < 1e-6)
  const all = await truncatedSvdOfProduct(b, a, 100, { rows, columns, rank })
  t.deepEqual([all.s.length, all.relativeError], [rank, 0])
  t.true(frobenius(rebuilt(all, rows, columns), dense) < 1e-6 * frobenius(dense))
  const none = await truncatedSvdOfProduct(new Float32Array(0), normals(6), 1, {
    rows: 0,
    columns: 3,
    rank: 2,
  })
  t.deepEqual([none.u.length, none.vt.length, none.relativeError], [0, 0, 0])
})

test('wrong arguments are named', async (t) => {
  const matrix = normals(6)
  const good = { rows: 2, columns: 3, rank: 1 }
  for (const [change, message] of [
    [{ rows: 3 }, /matrix has 6 elements, not 9/],
    [{ rows: 0 }, /rows/],
    [{ columns: 1.5 }, /columns/],
    [{ rank: 3 }, /rank must be a whole number from 1 to 2, got 3/],
    [{ oversample: -1 }, /oversample/],
    [{ powerIters: 1000 }, /powerIters/],
    [{ seed: 0.5 }, /seed/],
    [{ minus: normals(5) }, /minus/],
    [{ dtype: 'BF16' as const }, /matrix must be a Uint16Array/],
  ] as const) {
    await t.throwsAsync(randomizedSvd(matrix, { ...good, ...change }), { code: 'INVALID_ARGUMENT', message })
  }
  const product = (q: number, change: object) =>
    truncatedSvdOfProduct(matrix, normals(4), q, { rows: 3, columns: 2, rank: 2, ...change })
  await t.notThrowsAsync(product(1, {}))
  await t.throwsAsync(product(0, {}), { code: 'INVALID_ARGUMENT', message: /q must be/ })
  await t.throwsAsync(product(1, { rank: 3 }), { code: 'INVALID_ARGUMENT', message: /b has 6/ })
  await t.throwsAsync(product(1, { columns: 3 }), { code: 'INVALID_ARGUMENT', message: /a has 4/ })
  const bad = matrix.slice()
  bad[4] = Number.NaN
  await t.throwsAsync(randomizedSvd(bad, good), { code: 'NON_FINITE' })
  const controller = new AbortController()
  controller.abort()
  await t.throwsAsync(randomizedSvd(matrix, { ...good, signal: controller.signal }), { code: 'CANCELLED' })
})
