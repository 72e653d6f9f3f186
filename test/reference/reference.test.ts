import test from 'ava'
import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { decodePositions, deltaBytes, encodeDelta } from './delta-encode.js'
import {
  convertFloats,
  decodeFloat,
  decodeFloats,
  encodeFloat,
  encodeFloats,
  FLOAT_DTYPES,
  FLOAT_FIELDS,
} from './float-convert.js'
import { fma32 } from './fma32.js'
import { foldReference } from './fold-reference.js'
import { KEEP_NOTHING, magnitudeKey, NAN_KEY, residualKeys, selectReference } from './magnitude-select.js'
import { mergeReference } from './merge.js'
import { xxh3 } from './xxh3.js'

test('decodeFloat: known patterns', (t) => {
  const cases: [FloatDtype, number, number][] = [
    ['F16', 0x3c00, 1],
    ['F16', 0x7bff, 65504],
    ['F16', 0x0001, 2 ** -24],
    ['F16', 0xfc00, Number.NEGATIVE_INFINITY],
    ['BF16', 0x3f80, 1],
    ['BF16', 0x0001, 2 ** -133],
    ['BF16', 0x7f7f, 3.3895313892515355e38],
    ['F8_E4M3', 0x7e, 448],
    ['F8_E4M3', 0x01, 2 ** -9],
    ['F8_E4M3', 0x38, 1],
    ['F8_E5M2', 0x7b, 57344],
    ['F8_E5M2', 0x01, 2 ** -16],
    ['F8_E5M2', 0x7c, Number.POSITIVE_INFINITY],
    ['F8_E5M2', 0x80, -0],
    ['F32', 0x00000001, 2 ** -149],
    ['F32', 0x40490fdb, 3.1415927410125732],
  ]
  for (const [dtype, bits, value] of cases) t.is(decodeFloat(dtype, bits), value, `${dtype} ${bits}`)
  for (const bits of [0x7f, 0xff]) t.true(Number.isNaN(decodeFloat('F8_E4M3', bits)))
  for (const bits of [0x7d, 0x7e, 0x7f, 0xfd]) t.true(Number.isNaN(decodeFloat('F8_E5M2', bits)))
})

test('encodeFloat: ties to even, overflow, subnormals, signs', (t) => {
  const cases: [FloatDtype, number, number][] = [
    ['F16', 65519.996, 0x7bff],
    ['F16', 65520, 0x7c00],
    ['F16', -65520, 0xfc00],
    ['F16', 2 ** -25, 0],
    ['F16', 1.5 * 2 ** -25, 1],
    ['F16', 1.5 * 2 ** -24, 2],
    ['F16', 1 + 2 ** -11, 0x3c00],
    ['F16', 1 + 3 * 2 ** -11, 0x3c02],
    ['BF16', 1 + 2 ** -8, 0x3f80],
    ['BF16', 1 + 3 * 2 ** -8, 0x3f82],
    ['BF16', 3.4e38, 0x7f80],
    ['BF16', -0, 0x8000],
    ['BF16', 2 ** -134, 0],
    ['BF16', 3 * 2 ** -134, 2],
    ['F8_E4M3', 448, 0x7e],
    ['F8_E4M3', 464, 0x7e],
    ['F8_E4M3', 465, 0x7f],
    ['F8_E4M3', -1e9, 0xff],
    ['F8_E4M3', Number.NEGATIVE_INFINITY, 0xff],
    ['F8_E4M3', 2 ** -10, 0],
    ['F8_E4M3', 1.5 * 2 ** -9, 2],
    ['F8_E4M3', -(2 ** -11), 0x80],
    ['F8_E5M2', 61439, 0x7b],
    ['F8_E5M2', 61440, 0x7c],
    ['F8_E5M2', 2 ** -17, 0],
    ['F8_E5M2', 1.0001 * 2 ** -17, 1],
    ['F32', 1e39, 0x7f800000],
    ['F32', 2 ** -149, 1],
    ['F32', 1 + 2 ** -24, 0x3f800000],
  ]
  for (const [dtype, value, bits] of cases) t.is(encodeFloat(dtype, value), bits, `${dtype} ${value}`)
  for (const dtype of FLOAT_DTYPES)
    t.is(encodeFloat(dtype, Number.NaN), FLOAT_FIELDS[dtype].canonicalNan, dtype)
})

test('every narrow pattern survives the way through f32', (t) => {
  for (const dtype of FLOAT_DTYPES.slice(1)) {
    const size = 2 ** (FLOAT_FIELDS[dtype].bytes * 8)
    let wrong = 0
    for (let bits = 0; bits < size; bits++) {
      const x = decodeFloat(dtype, bits)
      const back = encodeFloat(dtype, x)
      if (Number.isNaN(x) ? back !== FLOAT_FIELDS[dtype].canonicalNan : back !== bits) wrong++
    }
    t.is(wrong, 0, dtype)
  }
})

test('encodeFloat picks the nearest of all patterns', (t) => {
  for (const dtype of ['F8_E4M3', 'F8_E5M2'] as const) {
    const finite = Array.from({ length: 128 }, (_, bits) => decodeFloat(dtype, bits)).filter(Number.isFinite)
    const top = finite.at(-1)!
    for (let i = 0; i < 4000; i++) {
      const x = Math.fround(top * ((i * 0.6180339887) % 1) ** (1 + (i % 8)))
      const distance = Math.min(...finite.map((value) => Math.abs(value - x)))
      const nearest = finite.flatMap((value, bits) => (Math.abs(value - x) === distance ? [bits] : []))
      t.is(
        encodeFloat(dtype, x),
        nearest.find((bits) => nearest.length === 1 || bits % 2 === 0)!,
        `${dtype} ${x}`,
      )
    }
  }
})

test('f32 bytes agree with the platform', (t) => {
  const values = [0, -0, 1, -1.5, 3.25, 1e-45, 1e38, Number.POSITIVE_INFINITY]
  t.deepEqual(encodeFloats('F32', values), new Uint8Array(new Float32Array(values).buffer))
  t.deepEqual([...decodeFloats('F32', encodeFloats('F32', values))], values.map(Math.fround))
})

test('convertFloats keeps the same dtype as it is and makes NaN canonical otherwise', (t) => {
  const payload = new Uint8Array([1, 0, 0xa0, 0xff])
  t.deepEqual(convertFloats('F32', 'F32', payload), payload)
  t.deepEqual(convertFloats('F32', 'BF16', payload), new Uint8Array([0xc0, 0x7f]))
})

test('fma32 rounds once', (t) => {
  const step = 2 ** -23
  // (1 + 2^-12)² = 1 + 2^-11 + 2^-24: two roundings lose the last term before it is added.
  t.is(fma32(1 + 2 ** -12, 1 + 2 ** -12, -1), 2 ** -11 + 2 ** -24)
  // 1 + 2^-23 + 2^-24 − 2^-70 lies below the middle, but f64 rounds it to the middle, which would then go up to even.
  t.is(fma32(1 + step, 2 ** -24 * (1 - step), 1 + step), 1 + step)
  t.is(fma32(1 + step, 2 ** -24, 1), 1 + step)
  t.is(fma32(2 ** -12, 2 ** -12, 1), 1)
  t.is(fma32(1 - 2 ** -24, 2 ** -24, 1), 1)
  t.is(fma32(-1 - step, 2 ** -24, 1 + step), 1)
  t.is(fma32(Math.fround(1e38), 10, Math.fround(-1e38)), Number.POSITIVE_INFINITY)
  t.is(fma32(2 ** -100, 2 ** -49, 0), 2 ** -149)
  t.is(fma32(2 ** -100, 2 ** -50, 0), 0)
  t.is(fma32(2 ** -100, 2 ** -50, 2 ** -149), 2 * 2 ** -149)
  t.true(Object.is(fma32(-1, 0, -0), -0))
  t.true(Object.is(fma32(1, 0, -0), 0))
  t.true(Number.isNaN(fma32(0, Number.POSITIVE_INFINITY, 1)))
})

test('fma32 agrees with exact integer arithmetic', (t) => {
  // Significands of 24 bits at random scales, summed exactly on BigInt, then rounded half to even to 24 bits.
  let state = 7
  const random = () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return state >>> 8
  }
  for (let i = 0; i < 20000; i++) {
    const [a, b, c] = [random() | 0x800000, random() | 0x800000, random() | 0x800000]
    const [ea, eb, ec] = [random() % 30, random() % 30, (random() % 70) + 5]
    const negative = random() % 2 === 1
    const product = (BigInt(a) * BigInt(b)) << BigInt(ea + eb)
    const sum = product + (BigInt(c) << BigInt(ec)) * (negative ? -1n : 1n)
    const magnitude = sum < 0n ? -sum : sum
    const extra = BigInt(Math.max(0, magnitude.toString(2).length - 24))
    let rounded = magnitude >> extra
    const rest = magnitude - (rounded << extra)
    const middle = extra === 0n ? 1n : 1n << (extra - 1n)
    if (rest > middle || (rest === middle && (rounded & 1n) === 1n)) rounded++
    const expected = Number(rounded << extra) * (sum < 0n ? -1 : 1)
    t.is(fma32(a * 2 ** ea, b * 2 ** eb, c * 2 ** ec * (negative ? -1 : 1)) + 0, expected + 0, `case ${i}`)
  }
})

test('mergeReference by hand', (t) => {
  const operand = (dtype: FloatDtype, ...values: number[]) => ({ dtype, bytes: encodeFloats(dtype, values) })
  const merged = mergeReference(
    'F32',
    operand('F32', 1, 2, -0),
    [operand('F32', 2, 2, -0), operand('F32', 4, 0, -0)],
    0.5,
  )
  t.deepEqual([...decodeFloats('F32', merged)], [3, 1, 0])
  // In bf16 1 + 2^-9 is 1 already: the operand is converted before it is subtracted.
  const narrow = mergeReference('BF16', operand('BF16', 1), [operand('F32', 1 + 2 ** -9)], 1)
  t.deepEqual([...decodeFloats('BF16', narrow)], [1])
  t.deepEqual(
    mergeReference('F8_E4M3', operand('F8_E4M3', 1), [operand('F8_E4M3', 448)], Math.fround(2)),
    new Uint8Array([0x7f]),
  )
})

test('magnitude keys order by size, NaN above infinity', (t) => {
  const ordered = [0, 1e-45, 1e-38, 1, 1.0000001, 3e38, Number.POSITIVE_INFINITY, Number.NaN].map(
    magnitudeKey,
  )
  t.deepEqual(
    ordered,
    [...ordered].sort((a, b) => a - b),
  )
  t.is(magnitudeKey(-0), 0)
  t.is(magnitudeKey(-1), magnitudeKey(1))
  t.is(magnitudeKey(Number.NaN), NAN_KEY)
  const one = { dtype: 'F16' as const, bytes: encodeFloats('F16', [1, -2]) }
  t.deepEqual([...residualKeys('F16', one, encodeFloats('F16', [3, -2]))], [0x40000000, 0])
  t.deepEqual([...residualKeys('F16', one, null)], [0x3f800000, 0x40000000])
})

test('selectReference: largest first, ties to the lowest tensor and index', (t) => {
  const keys = [new Uint32Array([5, 1, 5]), new Uint32Array(0), new Uint32Array([5, 9])]
  t.deepEqual(selectReference(keys, 0), {
    threshold: { key: KEEP_NOTHING, ties: 0 },
    positions: [[], [], []],
  })
  t.deepEqual(selectReference(keys, 1), { threshold: { key: 9, ties: 1 }, positions: [[], [], [1]] })
  t.deepEqual(selectReference(keys, 3), { threshold: { key: 5, ties: 2 }, positions: [[0, 2], [], [1]] })
  t.deepEqual(selectReference(keys, 4), { threshold: { key: 5, ties: 3 }, positions: [[0, 2], [], [0, 1]] })
  t.deepEqual(selectReference(keys, 5), {
    threshold: { key: 1, ties: 1 },
    positions: [[0, 1, 2], [], [0, 1]],
  })
})

test('encodeDelta by hand', (t) => {
  const bytes = new Uint8Array(2 * 65540)
  bytes.set([1, 2], 2 * 3)
  bytes.set([7, 8], 2 * 65537)
  const delta = encodeDelta([3, 65537], bytes, 2, 'auto')
  t.is(delta.index, 'u16')
  t.is(delta.blockCount, 2)
  t.deepEqual(delta.value, new Uint8Array([1, 2, 7, 8]))
  t.deepEqual(delta.indexBytes, new Uint8Array([3, 0, 1, 0]))
  t.deepEqual(delta.blocks, new Uint8Array([0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]))
  t.deepEqual(
    [...deltaBytes(delta)],
    [1, 2, 7, 8, 0, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
  )
  const small = new Uint8Array(17)
  t.is(encodeDelta([4], small, 1, 'auto').index, 'u16')
  t.is(encodeDelta([4], new Uint8Array(16), 1, 'auto').index, 'u16', 'equal sizes')
  const bitmap = encodeDelta([0, 9, 16], small, 1, 'auto')
  t.is(bitmap.index, 'bitmap')
  t.deepEqual(bitmap.indexBytes, new Uint8Array([1, 2, 1]))
  for (const code of ['u16', 'bitmap'] as const) {
    t.deepEqual(decodePositions(encodeDelta([3, 65537], bytes, 2, code), 65540), [3, 65537])
  }
  t.is(deltaBytes(encodeDelta([], small, 1, 'auto')).length, 0)
})

test('foldReference: m = 1 gives every task back, m = 0 gives θ*', (t) => {
  const f32 = (...values: number[]) => ({ dtype: 'F32' as const, bytes: encodeFloats('F32', values) })
  const tensors = [
    { name: 'b', dtype: 'F32' as const, base: f32(1, 2), tasks: [f32(1.5, 2), f32(-1, 9)] },
    { name: 'a', dtype: 'F32' as const, base: f32(0), tasks: [f32(1), f32(4)] },
  ]
  const all = foldReference(tensors, { lambda: 0.3, density: 1, scope: 'global' })
  t.deepEqual(all.unfolded[1]!.get('b'), tensors[0]!.tasks[1]!.bytes)
  t.deepEqual(all.unfolded[0]!.get('a'), tensors[1]!.tasks[0]!.bytes)
  const none = foldReference(tensors, { lambda: 0.3, density: 0, scope: 'tensor' })
  t.deepEqual(none.unfolded[1]!.get('b'), none.merged.get('b'))
  // θ* = a 1.5, b 0.55, 4.1; u of task 1 = a 2.5, b −1.55, 4.9: the largest one of three lies at b[1].
  const one = foldReference(tensors, { lambda: 0.3, density: 0.4, scope: 'global' })
  t.deepEqual(
    [...one.positions[1]!],
    [
      ['a', []],
      ['b', [1]],
    ],
  )
})

// Made with the C library (xxhash.h 0.8.1) over the bytes of `pattern`; the first is in its documentation too.
const DIGESTS: [number, string][] = [
  [0, '99aa06d3014798d86001c324468d497f'],
  [1, 'e1325e21416bcdb2929e358d27ae3ee2'],
  [3, '6314f6269026169330069c90b99182f2'],
  [5, '32ca85f91b8e91ed3046250b8c68e7fe'],
  [8, 'f638c7d0289261a59dab33761e888bdc'],
  [9, 'be5e2367d8076a4e80315196bcceb453'],
  [16, 'b7c9f9df6d6bd8b075750de25ef8b2ce'],
  [17, 'd633e30463db164a1210b42b2844b708'],
  [65, '8ca6243a900ad73702997b68b6e7e874'],
  [97, '49175e3333818d99af3476caac6a2818'],
  [128, '1f89463d95789d07684810c47dfc23b1'],
  [129, '817e37e4199c924846def383441ebd8f'],
  [160, '370e8720e4b21a0008aae3287b55d4ec'],
  [240, '472680b6185360fad31a321f96c08b75'],
  [241, '5e38c3db94be612d8bd3aa0d9f127af5'],
  [1024, 'bd3b2335a50f9e323fa1d4d42c21189e'],
  [1025, 'a4b856a83e68e5a6c3b964f69630a13c'],
  [1088, 'd2d0f89b3f36d5b05ef2e042f5c85683'],
  [2000, 'ef328c342debb1a7c8edb33f6e7eee81'],
  [262144, 'd3d24c9ea15555f6f09614ea3f023ea8'],
]

test("xxh3: the C library's digests for every length class", (t) => {
  const pattern = new Uint8Array(262144).map((_, i) => i * 131 + (i >> 8) * 7 + 5)
  for (const [length, digest] of DIGESTS)
    t.is(xxh3(pattern.subarray(0, length)).toString('hex'), digest, `${length}`)
})
