import test from 'ava'
import fc from 'fast-check'
import { JsonCursor, JsonSyntaxError } from '../../../lib/checkpoint/json-cursor.js'

/** Rebuilds a value with nothing but the cursor. */
function read(cursor: JsonCursor): unknown {
  switch (cursor.kind()) {
    case 'object': {
      const members: [string, unknown][] = []
      for (let key = cursor.firstKey(); key !== null; key = cursor.nextKey())
        members.push([key, read(cursor)])
      return Object.fromEntries(members)
    }
    case 'array': {
      const elements: unknown[] = []
      for (let more = cursor.firstElement(); more; more = cursor.nextElement()) elements.push(read(cursor))
      return elements
    }
    case 'string':
      return cursor.string()
    case 'number':
      return cursor.unsigned()
    default: {
      const kind = cursor.kind()
      cursor.skip()
      return kind === 'null' ? null : kind === 'true'
    }
  }
}

const value = fc.letrec((tie) => ({
  tree: fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.nat(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(fc.string({ unit: 'grapheme' }), tie('tree'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).tree

test('reads what JSON.stringify writes, compact or spread out', (t) => {
  fc.assert(
    fc.property(value, fc.constantFrom(undefined, 1, '\t'), (tree, space) => {
      const cursor = new JsonCursor(Buffer.from(JSON.stringify(tree, null, space)))
      t.deepEqual(read(cursor), JSON.parse(JSON.stringify(tree)))
      cursor.end()
    }),
    { numRuns: 300 },
  )
})

test('accepts exactly what JSON.parse accepts', (t) => {
  const text = fc.string({
    unit: fc.constantFrom(...'{}[]",:\\u0019-+.eE truefalsn\n'.split('')),
    maxLength: 12,
  })
  fc.assert(
    fc.property(text, (json) => {
      const accepted = (() => {
        try {
          const cursor = new JsonCursor(Buffer.from(json))
          cursor.skip()
          cursor.end()
          return true
        } catch (error) {
          t.true(error instanceof JsonSyntaxError)
          return false
        }
      })()
      const expected = (() => {
        try {
          JSON.parse(json)
          return true
        } catch {
          return false
        }
      })()
      t.is(accepted, expected, json)
    }),
    { numRuns: 3000 },
  )
})

test('unsigned tells integers from other numbers', (t) => {
  const read = (json: string) => new JsonCursor(Buffer.from(json)).unsigned()
  t.is(read('0'), 0)
  t.is(read(' 9007199254740991 '), 2 ** 53 - 1)
  t.is(read('9'.repeat(400)), Number.POSITIVE_INFINITY)
  for (const other of ['-1', '-0', '1.0', '1e3', '1E3', '0.5']) t.is(read(other), Number.NaN)
  for (const bad of ['01', '1.', '-', '"1"', '', '1e'])
    t.throws(() => read(bad), { instanceOf: JsonSyntaxError })
})
