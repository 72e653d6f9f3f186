import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { readSafetensorsHeader } from '../../lib/checkpoint/safetensors-header.js'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { tinyRaw, tinySafetensors } from '../helpers/tiny-checkpoint.js'
import { entry, type Lie, testLies } from './checkpoint-lies.js'

const ok4 = entry('U8', '[4]', '[0,4]')
const four = Buffer.alloc(4)
const header = (json: string, data: Uint8Array = four) => tinyRaw(json, data)
const invalid = (what: string, json: string, tensor: string | undefined, message: RegExp): Lie => ({
  what,
  bytes: header(json),
  code: 'HEADER_INVALID',
  tensor,
  message,
})
const notJson = (what: string, json: string | Uint8Array, message: RegExp): Lie => ({
  what,
  bytes: tinyRaw(json, four),
  code: 'HEADER_NOT_JSON',
  message,
})

testLies([
  { what: 'empty file', bytes: Buffer.alloc(0), code: 'HEADER_TOO_SHORT' },
  { what: 'seven bytes', bytes: Buffer.alloc(7), code: 'HEADER_TOO_SHORT' },
  {
    what: 'length beyond the file',
    bytes: tinyRaw('{}', four, 7n),
    code: 'HEADER_TOO_SHORT',
    message: /7 bytes/,
  },
  { what: 'length of the format limit', bytes: tinyRaw('{}', four, 100_000_000n), code: 'HEADER_TOO_SHORT' },
  {
    what: 'length above the format limit',
    bytes: tinyRaw('{}', four, 100_000_001n),
    code: 'HEADER_TOO_LARGE',
  },
  {
    what: 'length of 2^64 − 1',
    bytes: tinyRaw('{}', four, -1n & 0xffffffffffffffffn),
    code: 'HEADER_TOO_LARGE',
  },
  { what: 'length of 2^63', bytes: tinyRaw('{}', four, 1n << 63n), code: 'HEADER_TOO_LARGE' },
  { what: 'length 0', bytes: tinyRaw('', Buffer.alloc(0)), code: 'HEADER_NOT_JSON', message: /start with/ },
  {
    what: 'Git LFS pointer',
    bytes: Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'),
    code: 'HEADER_TOO_LARGE',
    hint: /git lfs pull/,
  },
  {
    what: 'zip of PyTorch',
    bytes: Buffer.from('PK\x03\x04....archive/data.pkl'),
    code: 'HEADER_TOO_LARGE',
    hint: /convert/,
  },
  {
    what: 'web page',
    bytes: Buffer.from('<!DOCTYPE html><html></html>'),
    code: 'HEADER_TOO_LARGE',
    hint: /web page/,
  },

  notJson('a list', '[1]', /start with/),
  notJson('white space first', ' {}', /start with/),
  notJson('byte order mark', '\ufeff{}', /start with/),
  notJson('invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), /UTF-8/),
  notJson('overlong UTF-8', Buffer.from([0x7b, 0x22, 0xc0, 0x80, 0x22, 0x7d]), /UTF-8/),
  notJson('surrogate in UTF-8', Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x7d]), /UTF-8/),
  notJson('half a surrogate pair', `{"\\ud800":${ok4}}`, /surrogate/),
  notJson('unclosed', `{"w":${ok4}`, /expected/),
  notJson('unclosed string', '{"w', /ends inside a string/),
  notJson('string that ends in a backslash', '{"w\\', /ends inside a string/),
  notJson('trailing comma', `{"w":${ok4},}`, /expected/),
  notJson('missing colon', `{"w"${ok4}}`, /: is expected/),
  notJson('text behind the end', `{"w":${ok4}}x`, /behind the closing/),
  notJson('two objects', '{}{}', /behind the closing/),
  notJson('NUL padding', `{"w":${ok4}}\0\0`, /behind the closing/),
  notJson('single quotes', "{'w':1}", /expected/),
  notJson('bad escape', `{"\\x":${ok4}}`, /escape/),
  notJson('raw newline in a string', `{"a\nb":${ok4}}`, /control character/),
  notJson('NaN', '{"w":NaN}', /value is expected/),
  notJson('leading zero', `{"w":${entry('U8', '[04]', '[0,4]')}}`, /malformed/),
  notJson('plus sign', `{"w":${entry('U8', '[+4]', '[0,4]')}}`, /value is expected/),
  notJson('number that ends in a point', `{"w":${entry('U8', '[4.]', '[0,4]')}}`, /malformed/),
  notJson('misspelled word', '{"w":{"x":nul}}', /misspelled/),
  notJson('very deep nesting', `{"w":{"x":${'['.repeat(100_000)}}}`, /nested deeper/),

  invalid('entry is null', '{"w":null}', 'w', /not an object/),
  invalid('entry is a list', '{"w":[]}', 'w', /not an object/),
  invalid('entry is empty', '{"w":{}}', 'w', /lacks the field dtype/),
  invalid('no shape', '{"w":{"dtype":"U8","data_offsets":[0,4]}}', 'w', /lacks the field shape/),
  invalid('no data_offsets', '{"w":{"dtype":"U8","shape":[4]}}', 'w', /lacks the field data_offsets/),
  invalid(
    'dtype is a number',
    '{"w":{"dtype":8,"shape":[4],"data_offsets":[0,4]}}',
    'w',
    /dtype .* not a string/,
  ),
  invalid('shape is a number', `{"w":${entry('U8', '4', '[0,4]')}}`, 'w', /shape .* not a list/),
  invalid('shape is an object', `{"w":${entry('U8', '{"0":4}', '[0,4]')}}`, 'w', /not a list/),
  invalid('shape of strings', `{"w":${entry('U8', '["4"]', '[0,4]')}}`, 'w', /not a number/),
  invalid('negative extent', `{"w":${entry('U8', '[-4]', '[0,4]')}}`, 'w', /non-negative/),
  invalid('negative zero', `{"w":${entry('U8', '[-0]', '[0,4]')}}`, 'w', /non-negative/),
  invalid('fractional extent', `{"w":${entry('U8', '[4.0]', '[0,4]')}}`, 'w', /non-negative/),
  invalid('exponent', `{"w":${entry('U8', '[4e0]', '[0,4]')}}`, 'w', /non-negative/),
  invalid('rank 65', `{"w":${entry('U8', `[${Array(65).fill(1)}]`, '[0,4]')}}`, 'w', /more than 64/),
  invalid('one offset', `{"w":${entry('U8', '[4]', '[4]')}}`, 'w', /two numbers/),
  invalid('three offsets', `{"w":${entry('U8', '[4]', '[0,2,4]')}}`, 'w', /more than 2/),
  invalid('negative offset', `{"w":${entry('U8', '[4]', '[-4,0]')}}`, 'w', /non-negative/),
  invalid('offsets backwards', `{"w":${entry('U8', '[4]', '[4,0]')}}`, 'w', /backwards/),
  invalid('empty name', `{"":${ok4}}`, '', /is empty/),
  invalid('NUL in a name', `{"a\\u0000b":${ok4}}`, 'a\0b', /NUL/),
  invalid(
    'field twice',
    `{"w":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}`,
    'w',
    /"dtype" twice/,
  ),
  invalid(
    'field twice, once escaped',
    `{"w":{"dtype":"U8","shape":[4],"sh\\u0061pe":[4],"data_offsets":[0,4]}}`,
    'w',
    /"shape" twice/,
  ),
  invalid('unknown field twice', `{"w":{"x":1,"x":2,${ok4.slice(1)}}`, 'w', /"x" twice/),
  invalid(
    'unknown fields without end',
    `{"w":{${Array.from({ length: 20 }, (_, i) => `"x${i}":0`)},${ok4.slice(1)}}`,
    'w',
    /more than 16/,
  ),
  invalid('metadata is null', `{"__metadata__":null,"w":${ok4}}`, undefined, /not an object/),
  invalid(
    'metadata value is a number',
    `{"__metadata__":{"a":1},"w":${ok4}}`,
    undefined,
    /"a".* not a string/,
  ),
  invalid('metadata value is an object', `{"__metadata__":{"a":{}},"w":${ok4}}`, undefined, /not a string/),
  invalid('metadata twice', `{"__metadata__":{},"w":${ok4},"__metadata__":{}}`, undefined, /appears twice/),
  invalid(
    'metadata key twice',
    `{"__metadata__":{"a":"1","\\u0061":"2"},"w":${ok4}}`,
    undefined,
    /"a" twice/,
  ),
  invalid(
    'metadata __proto__ twice',
    `{"__metadata__":{"__proto__":"1","__proto__":"2"}}`,
    undefined,
    /twice/,
  ),
])

test('any header cut anywhere is an error and never more', async (t) => {
  const folder = tempFolder(t)
  const file = join(folder, 'model.safetensors')
  const whole = tinySafetensors({
    metadata: { format: 'pt' },
    tensors: { a: { dtype: 'F32', shape: [2], data: [1, 2] }, 'ä"\\': { dtype: 'U8', shape: [], data: [7] } },
  })
  for (let length = 0; length < whole.length; length++) {
    writeFileSync(file, whole.subarray(0, length))
    await t.throwsAsync(readSafetensorsHeader(file), { instanceOf: TaskfoldError })
  }
  writeFileSync(file, whole)
  await t.notThrowsAsync(readSafetensorsHeader(file))
})

test('any byte of a header changed: opens or is a typed error, never INTERNAL', async (t) => {
  const folder = tempFolder(t)
  const file = join(folder, 'model.safetensors')
  const whole = tinySafetensors({ tensors: { 'a\n': { dtype: 'F16', shape: [1, 2], data: [1, 2] } } })
  let seed = 12345
  for (let at = 0; at < whole.length - 4; at++) {
    for (let k = 0; k < 4; k++) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
      const bytes = Buffer.from(whole)
      bytes[at] = seed >>> 24
      writeFileSync(file, bytes)
      const result = await readSafetensorsHeader(file).catch((error) => error)
      if (result instanceof Error) {
        t.true(result instanceof TaskfoldError)
        t.not((result as TaskfoldError).code, 'INTERNAL')
      }
    }
  }
})
