import test from 'ava'
import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { seededRandom } from '../helpers/random.js'
import { type NativeError, native } from './addon.js'
import { decompose } from './decompose-matrix.js'
import { normals } from './low-rank-jobs.js'
import { differ, regionMaker } from './regions.js'

const random = seededRandom(2401)

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
