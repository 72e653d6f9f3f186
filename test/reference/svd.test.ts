import test from 'ava'
import { seededRandom } from '../helpers/random.js'
import { frobenius, multiply, orthogonalityDefect } from './low-rank.js'
import { jacobiSvd, transpose } from './svd.js'

test('a known matrix', (t) => {
  const { s } = jacobiSvd([3, 0, 4, 5], 2, 2)
  t.true(Math.abs(s[0]! - Math.sqrt(45)) < 1e-14)
  t.true(Math.abs(s[1]! - Math.sqrt(5)) < 1e-14)
})

test('U·diag(s)·Vᵀ is the matrix, and both sides are orthonormal', (t) => {
  const random = seededRandom(2101)
  for (const [rows, columns] of [
    [1, 1],
    [5, 3],
    [3, 5],
    [20, 20],
    [1, 9],
    [9, 1],
  ] as const) {
    const a = Float64Array.from({ length: rows * columns }, () => random.normal())
    const { u, s, vt } = jacobiSvd(a, rows, columns)
    const p = Math.min(rows, columns)
    const scaled = u.map((x, i) => x * s[i % p]!)
    t.true(frobenius(multiply(scaled, vt, rows, p, columns), a) < 1e-13 * frobenius(a))
    t.true(orthogonalityDefect(vt, p, columns) < 1e-13)
    t.true(orthogonalityDefect(transpose(u, rows, p), p, rows) < 1e-13)
    t.deepEqual(
      s,
      s.slice().sort((x, y) => y - x),
    )
  }
})
