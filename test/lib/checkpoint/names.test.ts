import test from 'ava'
import fc from 'fast-check'
import { compareNames, nameProblem, sortByName, sortNames } from '../../../lib/checkpoint/names.js'

const bytewise = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
const name = fc.string({
  unit: fc.constantFrom('a', 'b', '.', '9', 'é', '\ud7ff', '\ue000', '\uffff', '😀', '\u{10ffff}'),
})

test('compareNames is the order of the UTF-8 bytes', (t) => {
  fc.assert(fc.property(name, name, (a, b) => Math.sign(compareNames(a, b)) === bytewise(a, b)))
  t.true(compareNames('\uffff', '😀') < 0, 'UTF-16 would say the opposite')
  t.true('\uffff' > '😀')
})

test('sortNames and sortByName agree with it, with and without surrogates', (t) => {
  fc.assert(
    fc.property(fc.array(name), (names) => {
      const expected = [...names].sort(bytewise)
      t.deepEqual(sortNames([...names]), expected)
      t.deepEqual(
        sortByName(names.map((each) => ({ name: each }))).map((thing) => thing.name),
        expected,
      )
    }),
  )
})

test('nameProblem', (t) => {
  for (const good of ['w', '__proto__', 'constructor', 'a b', '../x', '\n', '😀', '0'])
    t.is(nameProblem(good), null)
  t.is(nameProblem(''), 'is empty')
  t.is(nameProblem('__metadata__'), 'is reserved by the format')
  t.is(nameProblem('a\0'), 'holds a NUL character')
  t.is(nameProblem('\ud800'), 'is not valid Unicode')
  t.is(nameProblem('a\udc00b'), 'is not valid Unicode')
})
