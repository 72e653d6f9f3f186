import test from 'ava'
import type { FloatDtype } from '../../lib/binding/binding-types.js'
import {
  convertFloats,
  decodeFloat,
  decodeFloats,
  encodeFloat,
  encodeFloats,
  FLOAT_DTYPES,
  FLOAT_FIELDS,
} from './float-convert.js'

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
