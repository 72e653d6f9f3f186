import test from 'ava'
import type { FloatDtype } from '../../../lib/binding/binding-types.js'
import {
  byteLength,
  DTYPES,
  dtypeBits,
  dtypeRank,
  elementCount,
  isDtype,
  isFloatDtype,
  widens,
} from '../../../lib/checkpoint/dtypes.js'

const floats: FloatDtype[] = ['F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2']

test('sizes', (t) => {
  t.is(DTYPES.length, 22)
  const sizes = {
    F4: 4,
    F6_E2M3: 6,
    F6_E3M2: 6,
    BOOL: 8,
    F8_E8M0: 8,
    BF16: 16,
    U32: 32,
    C64: 64,
    I64: 64,
  } as const
  for (const [dtype, bits] of Object.entries(sizes)) t.is(dtypeBits(dtype as keyof typeof sizes), bits)
  for (const dtype of DTYPES) t.true(isDtype(dtype))
  for (const other of ['f32', 'toString', '', '__proto__']) t.false(isDtype(other))
})

test('the order of the format: BOOL first, U64 last, never falling in alignment', (t) => {
  t.is(dtypeRank('BOOL'), 0)
  t.is(dtypeRank('U64'), 21)
  const alignment = DTYPES.map((dtype) => Math.max(8, dtypeBits(dtype)))
  t.deepEqual(
    alignment,
    [...alignment].sort((a, b) => a - b),
  )
})

test('floats are the dtypes that the kernels compute with', (t) => {
  t.deepEqual(DTYPES.filter(isFloatDtype).sort(), [...floats].sort())
})

test('widens holds exactly where every value is kept', (t) => {
  const yes = floats.flatMap((from) => floats.filter((to) => widens(from, to)).map((to) => `${from} ${to}`))
  t.deepEqual(yes.sort(), [
    'BF16 BF16',
    'BF16 F32',
    'F16 F16',
    'F16 F32',
    'F32 F32',
    'F8_E4M3 BF16',
    'F8_E4M3 F16',
    'F8_E4M3 F32',
    'F8_E4M3 F8_E4M3',
    'F8_E5M2 BF16',
    'F8_E5M2 F16',
    'F8_E5M2 F32',
    'F8_E5M2 F8_E5M2',
  ])
})

test('byteLength and elementCount', (t) => {
  t.is(elementCount([]), 1)
  t.is(elementCount([3, 0, 5]), 0)
  t.is(byteLength('F32', []), 4)
  t.is(byteLength('F32', [2, 3]), 24)
  t.is(byteLength('F32', [7, 0]), 0)
  t.is(byteLength('F4', [2]), 1)
  t.is(byteLength('F6_E2M3', [4]), 3)
  t.is(byteLength('U8', [2 ** 53 - 1]), 2 ** 53 - 1)
})

test('byteLength refuses what is too large or no whole bytes, naming the place', (t) => {
  const place = { file: '/m.safetensors', tensor: 'w' }
  for (const [dtype, shape] of [
    ['U8', [2 ** 53]],
    ['F16', [2 ** 52]],
    ['U8', [2 ** 30, 2 ** 30]],
    ['U8', [2 ** 40, 2 ** 40, 0]],
    ['F4', [2 ** 52]],
  ] as const) {
    t.like(
      t.throws(() => byteLength(dtype, shape, place)),
      { code: 'SIZE_OVERFLOW', ...place },
    )
  }
  t.like(
    t.throws(() => byteLength('F4', [3], place)),
    { code: 'TENSOR_SIZE_MISMATCH', ...place },
  )
  t.like(
    t.throws(() => byteLength('F6_E3M2', [])),
    { code: 'TENSOR_SIZE_MISMATCH' },
  )
})
