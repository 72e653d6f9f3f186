import test from 'ava'
import type { AddProductsTensor, FloatDtype } from '../../lib/binding/binding-types.js'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { seededRandom } from '../helpers/random.js'
import { decodeFloats, encodeFloats, FLOAT_DTYPES, FLOAT_FIELDS } from '../reference/float-convert.js'
import { sumOfProducts } from '../reference/low-rank.js'
import { transpose } from '../reference/svd.js'
import { type NativeError, native } from './addon.js'
import { normals, type StoredProduct, storeProduct } from './low-rank-jobs.js'
import { differ, type OutputRegion, type RegionMaker, regionMaker } from './regions.js'

const random = seededRandom(2301)

/** Half a unit in the last place, relative; below the smallest normal number the distance is absolute. */
const HALF_ULP: Record<FloatDtype, [number, number]> = {
  F32: [2 ** -24, 2 ** -150],
  F16: [2 ** -11, 2 ** -25],
  BF16: [2 ** -8, 2 ** -134],
  F8_E4M3: [2 ** -4, 2 ** -10],
  F8_E5M2: [2 ** -3, 2 ** -17],
}

interface Wanted {
  rows: number
  columns: number
  base: FloatDtype
  out: FloatDtype
  products: { rank: number; scale: number; transposed: boolean; dtype: FloatDtype }[]
}

interface Made {
  tensor: AddProductsTensor
  out: OutputRegion
  /** base + Σ s·B·A in f64, and a bound of the error of computing it in f32. */
  expected: Float64Array
  bound: Float64Array
}

function make(regions: RegionMaker, { rows, columns, base, out, products }: Wanted): Made {
  const bytes = encodeFloats(base, normals(random, rows * columns))
  const expected = Float64Array.from(decodeFloats(base, bytes))
  const bound = expected.map((x) => Math.abs(x) * 2 ** -23)
  const stored = products.map(({ rank, scale, transposed, dtype }) => {
    const [m, n] = transposed ? [columns, rows] : [rows, columns]
    const numbers = { b: normals(random, m * rank), a: normals(random, rank * n), rank, scale }
    const product: StoredProduct = storeProduct(regions, dtype, numbers)
    const { naive } = product
    const turn = (dense: Float64Array) => (transposed ? transpose(dense, m, n) : dense)
    const dense = turn(sumOfProducts([naive], m, n))
    const absolute = { ...naive, b: Array.from(naive.b, Math.abs), a: Array.from(naive.a, Math.abs) }
    const sizes = turn(sumOfProducts([{ ...absolute, scale: Math.abs(scale) }], m, n))
    for (let i = 0; i < expected.length; i++) {
      expected[i]! += dense[i]!
      bound[i]! += sizes[i]! * (rank + 4) * 2 ** -23
    }
    return { ...product.job, transposed }
  })
  const target = regions.output(rows * columns * FLOAT_FIELDS[out].bytes)
  const tensor = {
    name: 'w',
    rows,
    columns,
    base: { region: regions.input(bytes), dtype: base },
    products: stored,
    out: { region: target.region, dtype: out },
  }
  return { tensor, out: target, expected, bound }
}

/** '' when every element is the expected one within rounding. */
function wrong({ tensor, out, expected, bound }: Made): string {
  const found = decodeFloats(tensor.out.dtype, out.read())
  const [relative, absolute] = HALF_ULP[tensor.out.dtype]
  const at = found.findIndex(
    (x, i) =>
      !(Math.abs(x - expected[i]!) <= bound[i]! * 1.01 + Math.abs(expected[i]!) * relative * 1.01 + absolute),
  )
  return at < 0 ? '' : `[${at}] ${found[at]} instead of ${expected[at]}`
}

test.serial('random tensors: every dtype, plain and transposed, several products', async (t) => {
  const seed = Date.now() % 2 ** 31
  t.log(`seed ${seed}`)
  const own = seededRandom(seed)
  const regions = regionMaker(t, own)
  for (let round = 0; round < 80; round++) {
    const wanted: Wanted = {
      rows: 1 + own.below(50),
      columns: 1 + own.below(50),
      base: own.pick(FLOAT_DTYPES),
      out: own.pick(FLOAT_DTYPES),
      products: Array.from({ length: own.below(4) }, () => ({
        rank: own.below(10),
        scale: own.normal(),
        transposed: own.chance(0.5),
        dtype: own.pick(['F32', 'F16', 'BF16'] as const),
      })),
    }
    const made = make(regions, wanted)
    await native.addProducts({ tensors: [made.tensor] }, { threads: own.pick([1, 2, 3]) })
    t.is(wrong(made), '', `seed ${seed}, round ${round}: ${JSON.stringify(wanted)}`)
    regions.clear()
  }
})

test.serial('several tiles; the same bits for any number of threads, in each SIMD target', async (t) => {
  const regions = regionMaker(t, random)
  const products = [
    { rank: 8, scale: 0.5, transposed: false, dtype: 'BF16' as const },
    { rank: 3, scale: -2, transposed: true, dtype: 'F32' as const },
  ]
  const tall = make(regions, { rows: 2000, columns: 700, base: 'BF16', out: 'BF16', products })
  const wide = make(regions, { rows: 3, columns: 140_000, base: 'F16', out: 'F32', products })
  let first: Uint8Array | undefined
  await forEachSimdTarget(native, async (target) => {
    for (const threads of [1, 2, 3, 7]) {
      await native.addProducts({ tensors: [tall.tensor, wide.tensor] }, { threads })
      const bytes = Buffer.concat([tall.out.read(), wide.out.read()])
      first ??= bytes
      t.is(differ(bytes, first), '', `${target}, ${threads} threads`)
    }
  })
  t.is(wrong(tall), '')
  t.is(wrong(wide), '')
})

test.serial('without products the base is converted; NaN and infinity of the base stay', async (t) => {
  const regions = regionMaker(t, random)
  const base = encodeFloats('BF16', [1, Number.NaN, Number.POSITIVE_INFINITY, -0, 3, 4])
  const out = regions.output(24)
  const shape = {
    name: 'w',
    rows: 2,
    columns: 3,
    base: { region: regions.input(base), dtype: 'BF16' as const },
  }
  const target = { region: out.region, dtype: 'F32' as const }
  await native.addProducts({ tensors: [{ ...shape, products: [], out: target }] }, {})
  t.deepEqual([...decodeFloats('F32', out.read())], [1, Number.NaN, Number.POSITIVE_INFINITY, -0, 3, 4])
  const ones = storeProduct(regions, 'F32', { b: [1, 1], a: [1, 2, 3], rank: 1, scale: 1 })
  const products = [{ ...ones.job, transposed: false }]
  await native.addProducts({ tensors: [{ ...shape, products, out: target }] }, {})
  t.deepEqual([...decodeFloats('F32', out.read())], [2, Number.NaN, Number.POSITIVE_INFINITY, 1, 5, 7])
})

test.serial('out may be the base itself', async (t) => {
  const regions = regionMaker(t, random)
  const made = make(regions, {
    rows: 300,
    columns: 500,
    base: 'F32',
    out: 'F32',
    products: [{ rank: 4, scale: 1, transposed: false, dtype: 'F32' }],
  })
  await native.addProducts({ tensors: [made.tensor] }, {})
  const apart = made.out.read()
  const own = regions.output(apart.length, 'memory')
  ;(own.region as Uint8Array).set(
    encodeFloats(
      'F32',
      made.expected.map(() => 0),
    ),
  )
  await native.copyRegions({ copies: [{ name: 'w', from: made.tensor.base.region, to: own.region }] }, {})
  const operand = { region: own.region, dtype: 'F32' as const }
  await native.addProducts({ tensors: [{ ...made.tensor, base: operand, out: operand }] }, { threads: 2 })
  t.is(differ(own.read(), apart), '')
})

test.serial('empty tensors', async (t) => {
  const regions = regionMaker(t, random)
  for (const [rows, columns] of [
    [0, 5],
    [5, 0],
    [0, 0],
  ] as const) {
    const products = [{ rank: 2, scale: 1, transposed: rows === 0, dtype: 'F32' as const }]
    const made = make(regions, { rows, columns, base: 'F32', out: 'BF16', products })
    await t.notThrowsAsync(native.addProducts({ tensors: [made.tensor] }, {}))
  }
  await t.notThrowsAsync(native.addProducts({ tensors: [] }, {}))
})

test.serial('NaN in a factor and overflow of the output are errors; lengths are checked', async (t) => {
  const regions = regionMaker(t, random)
  const zeros = (n: number, dtype: FloatDtype) => ({
    region: new Uint8Array(n * FLOAT_FIELDS[dtype].bytes),
    dtype,
  })
  const product = (b: number[], a: number[]) => ({
    ...storeProduct(regions, 'F32', { b, a, rank: 1, scale: 1 }).job,
    transposed: false,
  })
  const good = { name: 'w', rows: 2, columns: 3, base: zeros(6, 'F32'), out: zeros(6, 'F16') }
  const run = (change: object, products: object[]) =>
    t.throwsAsync<NativeError>(
      async () => native.addProducts({ tensors: [{ ...good, products, ...change } as never] }, {}),
      undefined,
      JSON.stringify(Object.keys(change)),
    )
  t.like(await run({}, [product([1, Number.NaN], [1, 1, 1])]), { code: 'NON_FINITE', operand: 'b', index: 1 })
  t.like(await run({}, [product([1, 1], [1, 1, 1 / 0])]), { code: 'NON_FINITE', operand: 'a', index: 2 })
  const tooLarge = await run({}, [product([1, 300], [1, 300, 1])])
  t.like(tooLarge, { code: 'NON_FINITE', operand: 'out', index: 4, tensor: 'w' })
  const fine = [product([1, 1], [1, 1, 1])]
  for (const [change, operand] of [
    [{ rows: 3 }, 'b'],
    [{ columns: 2 }, 'a'],
    [{ base: zeros(5, 'F32') }, 'base'],
    [{ out: zeros(7, 'F16') }, 'out'],
    [{ out: { region: regions.input(new Uint8Array(12), 'file'), dtype: 'F16' } }, 'out'],
  ] as const) {
    t.like(await run(change, fine), { code: 'INVALID_ARGUMENT', operand })
  }
  t.is((await run({ rows: 2 ** 40, columns: 2 ** 40 }, [])).code, 'SIZE_OVERFLOW')
})
