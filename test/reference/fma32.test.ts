import test from 'ava'
import { fma32 } from './fma32.js'

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
