import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { FloatDtype, RandomizedSvdJob } from '../../lib/binding/binding-types.js'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { seededRandom } from '../helpers/random.js'
import { decodeFloats, encodeFloats, FLOAT_FIELDS } from '../reference/float-convert.js'
import { frobenius, multiply, optimalError, orthogonalityDefect } from '../reference/low-rank.js'
import { jacobiSvd, transpose } from '../reference/svd.js'
import { type NativeError, native } from './addon.js'
import { normals, orthonormalRows } from './low-rank-jobs.js'
import { differ, type RegionMaker, regionMaker } from './regions.js'

const random = seededRandom(2401)

interface Matrix {
  rows: number
  columns: number
  values: Float64Array
}

interface Found {
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

async function decompose(regions: RegionMaker, matrix: Matrix, options: Options): Promise<Found> {
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
function withValues(
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

const valuesOf = (s: (i: number) => number, count: number) =>
  Float64Array.from({ length: count }, (_, i) => s(i))

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
      const matrix = withValues(rows, columns, s)
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
    const matrix = withValues(110, 100, s)
    const { error } = await decompose(regions, matrix, { rank, oversample, powerIters: 0 })
    // Theorem 10.5 of Halko, Martinsson, Tropp bounds the mean of ‖A − QQᵀA‖; truncation to `rank` adds the tail once.
    const tail = optimalError(valuesOf(s, 100), rank)
    t.true(error <= (1 + Math.sqrt(1 + rank / (oversample - 1))) * tail + 1e-6 * frobenius(matrix.values))
  }
})

test.serial('tiny errors are resolved: steep decay, everything kept', async (t) => {
  const regions = regionMaker(t, random)
  const matrix = withValues(200, 130, (i) => 10 ** (-i / 3))
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
      withValues(rows, columns, (i) => 1 / (i + 1)),
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
  const low = withValues(90, 70, (i) => 3 - i, 3)
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
    const matrix = withValues(rows, columns, (i) => 1 / (i + 1))
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

test.serial('the same seed gives the same bits for any number of threads; another one differs', async (t) => {
  const regions = regionMaker(t, random)
  const [rows, columns, rank] = [1500, 2000, 6]
  // bf16 of either sign from 0.125 to 0.5: many blocks of rows at little cost.
  const patterns = () => Uint16Array.from({ length: rows * columns }, () => 0x3e00 | (random.u32() & 0x80ff))
  const operand = () => ({ region: regions.input(new Uint8Array(patterns().buffer)), dtype: 'BF16' as const })
  const [matrix, minus] = [operand(), operand()]
  const run = async (seed: number, threads: number) => {
    const [outB, outA] = [regions.output(rows * rank * 4), regions.output(rank * columns * 4)]
    const { singularValues, squaredNorm } = await native.randomizedSvd(
      {
        ...{
          name: 'w',
          rows,
          columns,
          matrix,
          minus,
          rank,
          energy: null,
          oversample: 4,
          powerIters: 1,
          seed,
        },
        split: 'sqrt',
        outB: { region: outB.region, dtype: 'F32' },
        outA: { region: outA.region, dtype: 'F32' },
      },
      { threads },
    )
    const numbers = new Uint8Array(Float64Array.of(...singularValues, squaredNorm).buffer)
    return Buffer.concat([outB.read(), outA.read(), numbers])
  }
  let first: Uint8Array | undefined
  await forEachSimdTarget(native, async (target) => {
    for (const threads of [1, 2, 3, 7]) {
      const bytes = await run(5, threads)
      first ??= bytes
      t.is(differ(bytes, first), '', `${target}, ${threads} threads`)
    }
  })
  t.not(differ(await run(2 ** 53 - 1, 2), first!), '')
})

test.serial('dtypes, and numbers at the ends of the range of f32', async (t) => {
  const regions = regionMaker(t, random)
  const matrix = withValues(60, 50, (i) => 0.7 ** i)
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

test.serial('NaN, infinity and overflow are named', async (t) => {
  const regions = regionMaker(t, random)
  for (const rank of [3, 40]) {
    const values = normals(random, 60 * 50)
    const bad = values.slice()
    bad[777] = Number.NaN
    const run = (matrix: Float64Array, minus: Float64Array | undefined, out: FloatDtype = 'F32') =>
      t.throwsAsync<NativeError>(
        decompose(regions, { rows: 60, columns: 50, values: matrix }, { rank, minus, oversample: 12, out }),
      )
    t.like(await run(bad, values), { code: 'NON_FINITE', operand: 'matrix', index: 777, tensor: 'w' })
    t.like(await run(bad, undefined), { code: 'NON_FINITE', operand: 'matrix', index: 777 })
    bad[777] = Number.NEGATIVE_INFINITY
    t.like(await run(values, bad), { code: 'NON_FINITE', operand: 'minus', index: 777 })
    const most = 3e38
    const [up, down] = [values.slice().fill(0), values.slice().fill(0)]
    up[1234] = most
    down[1234] = -most
    t.like(await run(up, down), { code: 'NON_FINITE', operand: 'matrix', index: 1234 })
    up[1234] = 1e12
    const tooLarge = await run(up, undefined, 'F16')
    t.like(tooLarge, { code: 'NON_FINITE', operand: 'outB', tensor: 'w' })
    t.regex(tooLarge.hint!, /bf16 or f32/)
  }
})

test.serial('cancel stops it', async (t) => {
  const regions = regionMaker(t, random)
  const [rows, columns, rank] = [3000, 3000, 8]
  const region = new Uint8Array(rows * columns * 4)
  const cancel = new native.CancelToken()
  const dtype = 'F32' as const
  const job = {
    ...{ name: 'w', rows, columns, rank, minus: null, energy: null, oversample: 8, powerIters: 100, seed: 0 },
    split: 'sqrt' as const,
    matrix: { region, dtype },
    outB: { region: new Uint8Array(rows * rank * 4), dtype },
    outA: { region: new Uint8Array(rank * columns * 4), dtype },
  }
  const promise = native.randomizedSvd(job, { cancel })
  setTimeout(() => cancel.cancel(), 30)
  t.is((await t.throwsAsync<NativeError>(promise)).code, 'CANCELLED')
  regions.clear()
})

test.serial('lengths, limits and files are checked', async (t) => {
  const regions = regionMaker(t, random)
  const bytes = (n: number) => ({ region: new Uint8Array(n * 4), dtype: 'F32' as const })
  const good = {
    ...{ name: 'w', rows: 6, columns: 5, rank: 2, minus: null, energy: null, oversample: 1, powerIters: 1 },
    ...{ seed: 1, split: 'sqrt', matrix: bytes(30), outB: bytes(12), outA: bytes(10) },
  }
  await t.notThrowsAsync(native.randomizedSvd(good as never, {}))
  const readOnly = { region: regions.input(new Uint8Array(48), 'file'), dtype: 'F32' }
  const wrong: [object, RegExp][] = [
    [{ rank: 0 }, /rank/],
    [{ rank: 6, outB: bytes(36), outA: bytes(30) }, /rank/],
    [{ rows: 0, matrix: bytes(0) }, /rows/],
    [{ rows: 2 ** 31 }, /./],
    [{ energy: 0 }, /energy/],
    [{ energy: 1.01 }, /energy/],
    [{ energy: Number.NaN }, /energy/],
    [{ oversample: 4097 }, /oversample/],
    [{ powerIters: 101 }, /powerIters/],
    [{ seed: 2 ** 53 }, /seed/],
    [{ seed: 0.5 }, /seed/],
    [{ split: 'half' }, /split/],
    [{ matrix: bytes(29) }, /matrix/],
    [{ minus: bytes(31) }, /minus/],
    [{ outB: bytes(11) }, /outB/],
    [{ outA: bytes(11) }, /outA/],
    [{ outB: readOnly }, /outB/],
  ]
  for (const [change, message] of wrong) {
    const error = await t.throwsAsync<NativeError>(async () =>
      native.randomizedSvd({ ...good, ...change } as never, {}),
    )
    t.true(['INVALID_ARGUMENT', 'SIZE_OVERFLOW'].includes(error.code!), error.code)
    t.regex(error.message, message)
  }
})
