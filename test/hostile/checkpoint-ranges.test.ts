import { tinyRaw } from '../helpers/tiny-checkpoint.js'
import { entry, testLies } from './checkpoint-lies.js'

const ok4 = entry('U8', '[4]', '[0,4]')
const header = (json: string) => tinyRaw(json, Buffer.alloc(4))

testLies([
  { what: 'name twice', bytes: header(`{"w":${ok4},"w":${ok4}}`), code: 'DUPLICATE_TENSOR', tensor: 'w' },
  {
    what: 'name twice, once escaped',
    bytes: header(`{"w":${ok4},"\\u0077":${entry('U8', '[0]', '[4,4]')}}`),
    code: 'DUPLICATE_TENSOR',
    tensor: 'w',
  },
  {
    what: '__proto__ twice',
    bytes: header(`{"__proto__":${ok4},"__proto__":${ok4}}`),
    code: 'DUPLICATE_TENSOR',
    tensor: '__proto__',
  },
  {
    what: 'unknown dtype',
    bytes: header(`{"w":${entry('F12', '[4]', '[0,4]')}}`),
    code: 'UNKNOWN_DTYPE',
    tensor: 'w',
  },
  {
    what: 'dtype of another case',
    bytes: header(`{"w":${entry('u8', '[4]', '[0,4]')}}`),
    code: 'UNKNOWN_DTYPE',
    tensor: 'w',
  },
  {
    what: 'dtype toString',
    bytes: header(`{"w":${entry('toString', '[4]', '[0,4]')}}`),
    code: 'UNKNOWN_DTYPE',
    tensor: 'w',
  },
  {
    what: 'range too short',
    bytes: header(`{"w":${entry('U8', '[5]', '[0,4]')}}`),
    code: 'TENSOR_SIZE_MISMATCH',
    tensor: 'w',
  },
  {
    what: 'range too long',
    bytes: header(`{"w":${entry('U8', '[3]', '[0,4]')}}`),
    code: 'TENSOR_SIZE_MISMATCH',
    tensor: 'w',
  },
  {
    what: 'scalar of no bytes',
    bytes: header(`{"w":${entry('F32', '[]', '[0,0]')}}`),
    code: 'TENSOR_SIZE_MISMATCH',
    tensor: 'w',
  },
  {
    what: 'half a byte',
    bytes: header(`{"w":${entry('F4', '[7]', '[0,4]')}}`),
    code: 'TENSOR_SIZE_MISMATCH',
    tensor: 'w',
    message: /28 bits/,
  },
  {
    what: 'sub-byte range',
    bytes: header(`{"w":${entry('F6_E2M3', '[4]', '[0,4]')}}`),
    code: 'TENSOR_SIZE_MISMATCH',
    tensor: 'w',
  },
  {
    what: 'range behind the file',
    bytes: header(`{"w":${entry('U8', '[5]', '[0,5]')}}`),
    code: 'TENSOR_OUT_OF_FILE',
    tensor: 'w',
    hint: /cut off/,
  },
  {
    what: 'offsets of 2^60',
    bytes: header(`{"w":${entry('U8', '[4]', `[${2n ** 60n},${2n ** 60n + 4n}]`)}}`),
    code: 'TENSOR_OUT_OF_FILE',
    tensor: 'w',
  },
  {
    what: 'offset of 400 digits',
    bytes: header(`{"w":${entry('U8', '[4]', `[0,${'9'.repeat(400)}]`)}}`),
    code: 'TENSOR_OUT_OF_FILE',
    tensor: 'w',
  },
  {
    what: 'extent of 2^60',
    bytes: header(`{"w":${entry('U8', `[${2n ** 60n}]`, '[0,4]')}}`),
    code: 'SIZE_OVERFLOW',
    tensor: 'w',
  },
  {
    what: 'product beyond 2^64',
    bytes: header(`{"w":${entry('U8', '[4294967296,4294967296]', '[0,4]')}}`),
    code: 'SIZE_OVERFLOW',
    tensor: 'w',
  },
  {
    what: 'product that wraps to 4',
    bytes: header(`{"w":${entry('U8', '[4611686018427387905,4]', '[0,4]')}}`),
    code: 'SIZE_OVERFLOW',
    tensor: 'w',
  },
  {
    what: 'bytes beyond 2^53',
    bytes: header(`{"w":${entry('F64', '[9007199254740991]', '[0,4]')}}`),
    code: 'SIZE_OVERFLOW',
    tensor: 'w',
  },
  {
    what: 'bits beyond 2^53',
    bytes: header(`{"w":${entry('F6_E3M2', '[9007199254740988]', '[0,4]')}}`),
    code: 'SIZE_OVERFLOW',
    tensor: 'w',
  },
  {
    what: 'two tensors share bytes',
    bytes: header(`{"a":${entry('U8', '[3]', '[0,3]')},"b":${entry('U8', '[2]', '[2,4]')}}`),
    code: 'TENSOR_OVERLAP',
    tensor: 'b',
    message: /inside tensor "a"/,
  },
  {
    what: 'two names for one range',
    bytes: header(`{"a":${ok4},"b":${ok4}}`),
    code: 'TENSOR_OVERLAP',
    tensor: 'b',
  },
  {
    what: 'empty tensor inside another',
    bytes: header(`{"a":${ok4},"b":${entry('U8', '[0]', '[2,2]')}}`),
    code: 'TENSOR_OVERLAP',
    tensor: 'b',
  },
  {
    what: 'hole between two tensors',
    bytes: header(`{"a":${entry('U8', '[1]', '[0,1]')},"b":${entry('U8', '[2]', '[2,4]')}}`),
    code: 'TENSOR_GAP',
    tensor: 'b',
  },
  {
    what: 'hole in front',
    bytes: header(`{"w":${entry('U8', '[2]', '[2,4]')}}`),
    code: 'TENSOR_GAP',
    tensor: 'w',
  },
  {
    what: 'bytes behind the last',
    bytes: header(`{"w":${entry('U8', '[3]', '[0,3]')}}`),
    code: 'TENSOR_GAP',
    tensor: 'w',
    message: /1 bytes behind/,
  },
  { what: 'bytes and no tensor', bytes: header('{}'), code: 'TENSOR_GAP', message: /behind the header/ },
])
