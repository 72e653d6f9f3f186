import test from 'ava'
import {
  convert,
  deltaScatter,
  devices,
  type FloatArray,
  fingerprint,
  magnitudeSelect,
  merge,
  setSimdTarget,
} from '../../../lib/kernels.js'

test('magnitudeSelect keeps the largest; of equal ones the first', async (t) => {
  const { positions, values, threshold } = await magnitudeSelect(new Float32Array([1, -3, 3, 0, -3]), {
    k: 2,
  })
  t.deepEqual([...positions], [1, 2])
  t.deepEqual(values, new Float32Array([-3, 3]))
  t.deepEqual(threshold, { key: new Uint32Array(new Float32Array([3]).buffer)[0]!, ties: 2 })
})

test('magnitudeSelect ranks a difference and gives the values themselves', async (t) => {
  const values = new Uint16Array([0x3f80, 0x4000, 0x4040]) // bf16 1, 2, 3
  const minus = new Uint16Array([0x3f80, 0x0000, 0x4000]) // 1, 0, 2
  const found = await magnitudeSelect(values, { k: 1, minus, dtype: 'BF16' })
  t.deepEqual([...found.positions], [1])
  t.deepEqual(found.values, new Uint16Array([0x4000]))
})

test('magnitudeSelect takes no or all entries, and empty arrays', async (t) => {
  const values = new Float32Array([5, 0, -1])
  t.is((await magnitudeSelect(values, { k: 0 })).positions.length, 0)
  t.deepEqual((await magnitudeSelect(values, { k: 3 })).values, values)
  t.is((await magnitudeSelect(new Float32Array(0), { k: 0 })).values.length, 0)
})

test('deltaScatter undoes a selection', async (t) => {
  const values = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i))
  const { positions, values: kept } = await magnitudeSelect(values, { k: 400 })
  const target = new Float32Array(1000)
  t.is(await deltaScatter(target, positions, kept), target)
  t.true(target.every((value, i) => value === (positions.includes(i) ? values[i] : 0)))
})

test('merge is task arithmetic in f32', async (t) => {
  const merged = await merge({
    base: new Float32Array([1, 2, 3]),
    tasks: [new Float32Array([2, 2, 3]), new Float32Array([1, 4, 3])],
    lambda: 0.5,
  })
  t.deepEqual(merged, new Float32Array([1.5, 3, 3]))
  t.is((await merge({ base: new Float32Array(0), tasks: [new Float32Array(0)] })).length, 0)
})

test('convert rounds to nearest even and counts what changed', async (t) => {
  const exact = await convert(new Float32Array([1, -2.5, 0]), 'F32', 'BF16')
  t.deepEqual(exact, { values: new Uint16Array([0x3f80, 0xc020, 0]), inexact: 0 })
  t.is((await convert(new Float32Array([0.1]), 'F32', 'F16')).inexact, 1)
  t.deepEqual((await convert(new Uint8Array([0x38]), 'F8_E4M3', 'F32')).values, new Float32Array([1]))
  t.is((await convert(new Float32Array(0), 'F32', 'F8_E5M2')).values.length, 0)
})

test('fingerprint is 32 hex digits of the bytes, wherever they lie', async (t) => {
  const bytes = Uint8Array.from({ length: 1001 }, (_, i) => i)
  const found = await fingerprint(bytes)
  t.regex(found, /^[0-9a-f]{32}$/)
  t.is(await fingerprint(Uint8Array.from([9, ...bytes]).subarray(1)), found)
  t.not(await fingerprint(bytes.subarray(1)), found)
})

test('views into larger buffers are read and written where they lie', async (t) => {
  const buffer = new Float32Array([9, 1, 2, 9])
  await deltaScatter(buffer.subarray(1, 3), Uint32Array.of(1), Float32Array.of(7))
  t.deepEqual(buffer, new Float32Array([9, 1, 7, 9]))
})

test.serial('every SIMD target of this machine can be forced, others are refused', async (t) => {
  const { simd, simdAvailable } = devices().cpu
  for (const target of simdAvailable) {
    setSimdTarget(target)
    t.is(devices().cpu.simd, target)
  }
  setSimdTarget(simd)
  t.throws(() => setSimdTarget('mmx'), { code: 'INVALID_ARGUMENT' })
})

const f = (length: number) => new Float32Array(length)
const misuse: [string, () => Promise<unknown>][] = [
  ['k above the length', () => magnitudeSelect(f(2), { k: 3 })],
  ['k negative', () => magnitudeSelect(f(2), { k: -1 })],
  ['k with a fraction', () => magnitudeSelect(f(2), { k: 0.5 })],
  ['minus of another length', () => magnitudeSelect(f(2), { k: 1, minus: f(3) })],
  ['minus of another type', () => magnitudeSelect(f(2), { k: 1, minus: new Uint16Array(2) })],
  ['no dtype', () => magnitudeSelect(new Uint16Array(2), { k: 1 })],
  ['a dtype that does not fit', () => magnitudeSelect(f(2), { k: 1, dtype: 'BF16' })],
  ['an unknown dtype', () => magnitudeSelect(f(2), { k: 1, dtype: 'toString' as 'F32' })],
  ['a plain array', () => magnitudeSelect([1, 2] as unknown as FloatArray, { k: 1, dtype: 'F32' })],
  ['a position outside', () => deltaScatter(f(2), Uint32Array.of(2), f(1))],
  ['a position with a fraction', () => deltaScatter(f(2), Float64Array.of(0.5), f(1))],
  ['a negative position', () => deltaScatter(f(2), Float64Array.of(-1), f(1))],
  ['a position NaN', () => deltaScatter(f(2), Float64Array.of(Number.NaN), f(1))],
  ['fewer values than positions', () => deltaScatter(f(2), Uint32Array.of(0, 1), f(1))],
  ['values of another type', () => deltaScatter<FloatArray>(f(2), Uint32Array.of(0), new Uint16Array(1))],
  ['positions of another type', () => deltaScatter(f(2), [0] as unknown as Uint32Array, f(1))],
  ['no tasks', () => merge({ base: f(2), tasks: [] })],
  ['a task of another length', () => merge({ base: f(2), tasks: [f(3)] })],
  ['λ NaN', () => merge({ base: f(2), tasks: [f(2)], lambda: Number.NaN })],
  ['convert to nowhere', () => convert(f(2), 'F32', 'F64' as 'F32')],
  ['a fingerprint of text', () => fingerprint('text' as unknown as Uint8Array)],
]

for (const [what, call] of misuse) {
  test(`refuses: ${what}`, async (t) => {
    await t.throwsAsync(call(), { code: 'INVALID_ARGUMENT' })
  })
}

test('NaN stops a selection with its index, unless it is kept', async (t) => {
  const values = new Float32Array([1, Number.NaN, 2])
  const error = await t.throwsAsync(magnitudeSelect(values, { k: 1 }), { code: 'NON_FINITE' })
  t.is((error as { index?: number }).index, 1)
  t.deepEqual([...(await magnitudeSelect(values, { k: 1, nonFinite: 'keep' })).positions], [1])
})

test('a signal that fired stops a kernel', async (t) => {
  const signal = AbortSignal.abort()
  await t.throwsAsync(magnitudeSelect(f(2), { k: 1, signal }), { code: 'CANCELLED' })
})
