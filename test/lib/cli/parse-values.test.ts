import test from 'ava'
import {
  collect,
  parseNumber,
  parseShare,
  parseSize,
  parseTask,
  parseThreads,
} from '../../../lib/cli/parse-values.js'

test('shares are fractions or percentages, and 2.3% is the double 0.023', (t) => {
  for (const [text, value] of [
    ['0.1', 0.1],
    ['10%', 0.1],
    ['10 %', 0.1],
    ['2.3%', 0.023],
    ['0', 0],
    ['100%', 1],
    ['1', 1],
    ['.5', 0.5],
    ['1e-3', 0.001],
    ['0.07%', 0.0007],
  ] as const) {
    t.is(parseShare(text), value, text)
  }
  for (const text of ['', '%', '101%', '1.1', '-0.1', 'NaN', 'Infinity', '0x1', '10%%', '1,5', 'a']) {
    t.throws(() => parseShare(text), { message: /0% to 100%|number/ }, text)
  }
})

test('numbers', (t) => {
  t.is(parseNumber('-0.25'), -0.25)
  t.is(parseNumber('+1e2'), 100)
  for (const text of ['', ' ', '1e', '1e999', '--1', '1 2', '0b1'])
    t.throws(() => parseNumber(text), undefined, text)
})

test('threads are whole numbers', (t) => {
  t.is(parseThreads('2'), 2)
  for (const text of ['0', '-1', '1.5', '4097', '', 'two', '1e2'])
    t.throws(() => parseThreads(text), undefined, text)
})

test('NAME=PATH splits at the first equals sign', (t) => {
  const one = parseTask('a=./p=q=r')
  t.deepEqual(one, [{ name: 'a', path: './p=q=r' }])
  t.deepEqual(parseTask('b=x', one), [...one, { name: 'b', path: 'x' }])
  for (const text of ['', 'a', '=p', 'a=', '='])
    t.throws(() => parseTask(text), { message: /NAME=PATH/ }, text)
})

test('collect gathers repeated values', (t) => {
  t.deepEqual(collect('b', collect('a')), ['a', 'b'])
})

test('sizes: powers of 1024 unless they end in B', (t) => {
  const cases: [string, number][] = [
    ['8G', 8 * 2 ** 30],
    ['512M', 512 * 2 ** 20],
    ['1.5g', 1.5 * 2 ** 30],
    ['8GiB', 8 * 2 ** 30],
    ['8 GB', 8e9],
    ['100kB', 1e5],
    ['1T', 2 ** 40],
    ['67108864', 67108864],
    ['64B', 64],
  ]
  for (const [text, bytes] of cases) t.is(parseSize(text), bytes, text)
  for (const text of ['', '0', '-1G', 'G', '8X', '8GBps', '1e9', '8iB', '0x10', '9999999T'])
    t.throws(() => parseSize(text), { message: /such as 8G/ }, text)
})
