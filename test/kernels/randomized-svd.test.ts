import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { seededRandom } from '../helpers/random.js'
import { decodeFloats } from '../reference/float-convert.js'
import { frobenius, optimalError, orthogonalityDefect } from '../reference/low-rank.js'
import { jacobiSvd, transpose } from '../reference/svd.js'
import { decompose, valuesOf, withValues } from './decompose-matrix.js'
import { normals } from './low-rank-jobs.js'
import { regionMaker } from './regions.js'

const random = seededRandom(2401)

const DECAYS: Record<string, (i: number) => number> = {
  'power law 1/i': (i) => 1 / (i + 1),
  'power law 1/√i': (i) => 1 / Math.sqrt(i + 1),
  exponential: (i) => Math.exp(-i / 4),
  'steep exponential': (i) => 10 ** (-i / 2),
  'low rank and flat noise': (i) => (i < 10 ? 5 - i / 10 : 0.05),
}

for (const [name, s] of Object.entries(DECAYS)) {
  test.serial(`${name}: at most 2 % above the least error`, async (t) => {
    const regions = regionMaker(t, random)
    for (const [rows, columns] of [
      [150, 90],
      [90, 150],
      [120, 120],
    ] as const) {
      const matrix = withValues(random, rows, columns, s)
      for (const rank of [1, 5, 20]) {
        const found = await decompose(regions, matrix, { rank })
        const expected = valuesOf(s, Math.min(rows, columns))
        const least = optimalError(expected, rank)
        const norm = Math.sqrt(found.squaredNorm)
        const label = `${rows} × ${columns}, rank ${rank}: ${found.error}, least ${least}`
        t.true(found.error <= 1.02 * least + 1e-6 * norm, label)
        t.true(Math.abs(norm - frobenius(found.stored)) <= 1e-12 * norm, label)
        // What the error is said to be, without looking at the matrix again.
        const said = Math.sqrt(
          Math.max(0, found.squaredNorm - found.singularValues.reduce((x, y) => x + y * y, 0)),
        )
        t.true(Math.abs(said - found.error) <= 2e-3 * found.error + 1e-6 * norm, `${label}, said ${said}`)
        t.true(
          found.singularValues.every((x, i) => x <= expected[i]! * (1 + 1e-5) + 1e-7 * norm),
          label,
        )
      }
      regions.clear()
    }
  })
}

test.serial('without power iterations the error is within the expectation of the theory', async (t) => {
  const regions = regionMaker(t, random)
  const [rank, oversample] = [10, 8]
  for (const s of Object.values(DECAYS)) {
    const matrix = withValues(random, 110, 100, s)
    const { error } = await decompose(regions, matrix, { rank, oversample, powerIters: 0 })
    // Theorem 10.5 of Halko, Martinsson, Tropp bounds the mean of ‖A − QQᵀA‖; truncation to `rank` adds the tail once.
    const tail = optimalError(valuesOf(s, 100), rank)
    t.true(error <= (1 + Math.sqrt(1 + rank / (oversample - 1))) * tail + 1e-6 * frobenius(matrix.values))
  }
})

test.serial('tiny errors are resolved: steep decay, everything kept', async (t) => {
  const regions = regionMaker(t, random)
  const matrix = withValues(random, 200, 130, (i) => 10 ** (-i / 3))
  const found = await decompose(regions, matrix, { rank: 12 })
  const left = found.squaredNorm - found.singularValues.reduce((x, y) => x + y * y, 0)
  const least = optimalError(
    valuesOf((i) => 10 ** (-i / 3), 130),
    12,
  )
  t.true(Math.abs(Math.sqrt(left) / least - 1) < 0.02, `${Math.sqrt(left)} ${least}`)
})

test.serial('rank + oversample ≥ min(rows, columns): exact', async (t) => {
  const regions = regionMaker(t, random)
  for (const [rows, columns, rank] of [
    [30, 12, 12],
    [12, 30, 12],
    [12, 30, 5],
    [40, 12, 6],
    [1, 9, 1],
    [9, 1, 1],
    [1, 1, 1],
    [16, 16, 16],
  ] as const) {
    const matrix = { rows, columns, values: normals(random, rows * columns) }
    const found = await decompose(regions, matrix, { rank, powerIters: 0 })
    const { s } = jacobiSvd(found.stored, rows, columns)
    const label = `${rows} × ${columns}, rank ${rank}`
    t.true(
      found.singularValues.every((x, i) => Math.abs(x - s[i]!) <= 1e-12 * s[0]!),
      label,
    )
    t.true(found.error <= optimalError(s, rank) * (1 + 1e-6) + 1e-6 * s[0]!, label)
  }
})

test.serial('split none: orthonormal sides; signs by the largest entry of the left', async (t) => {
  const regions = regionMaker(t, random)
  for (const [rows, columns, rank] of [
    [120, 80, 7],
    [10, 30, 10],
    [30, 10, 10],
  ] as const) {
    const { a, b, error, singularValues } = await decompose(
      regions,
      withValues(random, rows, columns, (i) => 1 / (i + 1)),
      { rank, split: 'none' },
    )
    const u = transpose(b, rows, rank)
    t.true(orthogonalityDefect(u, rank, rows) < 1e-6)
    t.true(orthogonalityDefect(a, rank, columns) < 1e-6)
    t.true(error > 0 && singularValues.length === rank)
    for (let j = 0; j < rank; j++) {
      const column = u.subarray(j * rows, (j + 1) * rows)
      t.is(Math.max(...column), Math.max(...column.map(Math.abs)))
    }
  }
})

test.serial('rank-deficient and zero matrices', async (t) => {
  const regions = regionMaker(t, random)
  const low = withValues(random, 90, 70, (i) => 3 - i, 3)
  for (const rank of [2, 3, 6]) {
    const { error, singularValues, squaredNorm } = await decompose(regions, low, { rank })
    const least = optimalError(Float64Array.of(3, 2, 1), rank)
    t.true(error <= least * 1.0001 + 1e-6 * Math.sqrt(squaredNorm), `${rank}: ${error}`)
    t.true(singularValues.slice(3).every((x) => x < 1e-6))
  }
  for (const [rows, columns] of [
    [90, 70],
    [5, 4],
  ] as const) {
    const zero = { rows, columns, values: new Float64Array(rows * columns) }
    const found = await decompose(regions, zero, { rank: 3 })
    t.true([...found.a, ...found.b, ...found.singularValues].every((x) => x === 0))
    t.is(found.squaredNorm, 0)
    t.is((await decompose(regions, zero, { rank: 3, energy: 0.9 })).kept, 1)
    const same = { ...zero, values: normals(random, rows * columns) }
    t.is((await decompose(regions, same, { rank: 2, minus: same.values })).squaredNorm, 0)
  }
})

test.serial('energy keeps the fewest components that hold the share', async (t) => {
  const regions = regionMaker(t, random)
  for (const [rows, columns] of [
    [100, 60],
    [20, 12],
  ] as const) {
    const matrix = withValues(random, rows, columns, (i) => 1 / (i + 1))
    const rank = 11
    for (const energy of [1e-6, 0.5, 0.9, 0.95, 1]) {
      const { kept, singularValues, squaredNorm, error } = await decompose(regions, matrix, { rank, energy })
      let [sum, least] = [0, 0]
      while (least < rank && (least === 0 || sum < energy * squaredNorm)) sum += singularValues[least++]! ** 2
      t.is(kept, least, `${energy}`)
      t.true(Math.abs(error ** 2 - (squaredNorm - sum)) <= 1e-4 * squaredNorm)
    }
  }
})

test.serial('real task vectors', async (t) => {
  const regions = regionMaker(t, random)
  const read = (folder: string) => {
    const bytes = readFileSync(
      join(import.meta.dirname, '../../examples/family', folder, 'model.safetensors'),
    )
    const length = Number(bytes.readBigUInt64LE(0))
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString())
    return (name: string) => {
      const [from, to] = header[name].data_offsets
      return Float64Array.from(decodeFloats('F32', bytes.subarray(8 + length + from, 8 + length + to)))
    }
  }
  const base = read('base')
  for (const task of ['digits', 'satellite']) {
    const tuned = read(`tasks/${task}`)
    for (const [part, rows, columns] of [
      ['intermediate', 320, 80],
      ['output', 80, 320],
      ['attention.attention.query', 80, 80],
    ] as const) {
      const name = `vit.encoder.layer.0.${part}.dense.weight`.replace('query.dense', 'query')
      const matrix = { rows, columns, values: tuned(name) }
      const found = await decompose(regions, matrix, { rank: 8, minus: base(name) })
      const { s } = jacobiSvd(found.stored, rows, columns)
      const least = optimalError(s, 8)
      t.true(found.error <= 1.02 * least, `${task} ${name}: ${found.error / least}`)
    }
  }
})

test.serial('dtypes, and numbers at the ends of the range of f32', async (t) => {
  const regions = regionMaker(t, random)
  const matrix = withValues(random, 60, 50, (i) => 0.7 ** i)
  for (const dtype of ['F16', 'BF16', 'F8_E4M3', 'F8_E5M2'] as const) {
    const { error, stored } = await decompose(regions, matrix, { rank: 6, dtype, out: 'BF16' })
    const { s } = jacobiSvd(stored, 60, 50)
    t.true(error <= 1.02 * optimalError(s, 6) + 0.01 * s[0]!, dtype)
  }
  const plain = await decompose(regions, matrix, { rank: 6 })
  for (const exponent of [120, 60, -60, -115]) {
    const scaled = { ...matrix, values: matrix.values.map((x) => x * 2 ** exponent) }
    for (const powerIters of [0, 2]) {
      const found = await decompose(regions, scaled, { rank: 6, powerIters, split: 'none' })
      const limit = powerIters === 0 ? 0.5 : 1e-4
      for (const [i, sigma] of found.singularValues.entries())
        t.true(
          Math.abs(sigma / 2 ** exponent / plain.singularValues[i]! - 1) < limit,
          `2^${exponent}, σ ${i}: ${sigma}`,
        )
      t.true(orthogonalityDefect(found.a, 6, 50) < 1e-6)
    }
  }
})
