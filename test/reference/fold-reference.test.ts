import test from 'ava'
import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { decodePositions, deltaBytes, encodeDelta } from './delta-encode.js'
import { decodeFloats, encodeFloats } from './float-convert.js'
import { foldReference } from './fold-reference.js'
import { KEEP_NOTHING, magnitudeKey, NAN_KEY, residualKeys, selectReference } from './magnitude-select.js'
import { mergeReference } from './merge.js'

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
