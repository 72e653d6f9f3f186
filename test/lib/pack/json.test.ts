import test from 'ava'
import { stableJson } from '../../../lib/pack/stable-json.js'
import { parseStrictJson } from '../../../lib/pack/strict-json.js'

const parse = (text: string | Buffer) =>
  parseStrictJson(Buffer.from(text as string), (problem) => new Error(problem))

test('stable JSON keeps the order of Maps, also of names that look like numbers', (t) => {
  const map = new Map<string, unknown>([
    ['10', 1],
    ['9', [1, 2]],
    ['__proto__', { x: undefined, y: null }],
  ])
  t.is(stableJson(map), '{"10":1,"9":[1,2],"__proto__":{"y":null}}')
  t.is(
    stableJson({ a: [], b: {}, c: [{ d: 'e"' }] }, 2),
    '{\n  "a": [],\n  "b": {},\n  "c": [\n    {\n      "d": "e\\""\n    }\n  ]\n}',
  )
  t.deepEqual(JSON.parse(stableJson({ text: 'ü\u2028\ud800' })), { text: 'ü\u2028\ud800' })
})

test('strict JSON gives what JSON.parse gives', (t) => {
  for (const text of ['{}', '[]', '1', '"x"', 'null', '{"a":{"b":[1,-2.5e3,true,{"b":1}]},"b":"\\u00e9"}']) {
    t.deepEqual(parse(text), JSON.parse(text), text)
  }
})

test('strict JSON refuses repeated keys, at any depth and however they are spelled', (t) => {
  for (const text of ['{"a":1,"a":2}', '[{"x":{"a":1,"b":1,"a":1}}]', '{"a":1,"\\u0061":2}']) {
    t.throws(() => parse(text), { message: /twice/ }, text)
  }
})

test('strict JSON refuses what is no JSON, and nesting that would exhaust the stack', (t) => {
  const texts = [
    '',
    '{',
    '{"a"}',
    '{} x',
    '[1,]',
    "{'a':1}",
    '{"a":NaN}',
    '['.repeat(100000),
    '{"a":'.repeat(100000),
  ]
  for (const text of texts) t.throws(() => parse(text), { message: /not JSON/ }, text.slice(0, 20))
  t.throws(() => parse(Buffer.from([0x22, 0xff, 0x22])), { message: /not JSON/ })
})
