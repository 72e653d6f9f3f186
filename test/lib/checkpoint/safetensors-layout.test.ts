import test from 'ava'
import fc from 'fast-check'
import type { Dtype } from '../../../lib/checkpoint/checkpoint-types.js'
import { byteLength, DTYPES, dtypeBits } from '../../../lib/checkpoint/dtypes.js'
import { layoutSafetensors } from '../../../lib/checkpoint/safetensors-layout.js'

const text = (header: Uint8Array) => Buffer.from(header).toString('utf8', 8)

test('bytes as the official writer makes them', (t) => {
  const { header, offsets, fileBytes } = layoutSafetensors(
    [
      { name: 'b', dtype: 'F32', shape: [2, 2] },
      { name: 'a', dtype: 'BF16', shape: [3] },
      { name: 'a"\n', dtype: 'F32', shape: [] },
      { name: 'i', dtype: 'I64', shape: [1] },
      { name: 'mask', dtype: 'BOOL', shape: [0, 4] },
    ],
    { format: 'pt' },
  )
  const json =
    '{"__metadata__":{"format":"pt"},' +
    '"i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},' +
    '"a\\"\\n":{"dtype":"F32","shape":[],"data_offsets":[8,12]},' +
    '"b":{"dtype":"F32","shape":[2,2],"data_offsets":[12,28]},' +
    '"a":{"dtype":"BF16","shape":[3],"data_offsets":[28,34]},' +
    '"mask":{"dtype":"BOOL","shape":[0,4],"data_offsets":[34,34]}}'
  const padded = json.padEnd(Math.ceil(json.length / 8) * 8, ' ')
  t.is(text(header), padded)
  t.is(Buffer.from(header).readBigUInt64LE(), BigInt(padded.length))
  const start = 8 + padded.length
  t.deepEqual(
    [...offsets],
    [
      ['i', start],
      ['a"\n', start + 8],
      ['b', start + 12],
      ['a', start + 28],
      ['mask', start + 34],
    ],
  )
  t.is(fileBytes, start + 34)
})

test('metadata: left out when empty, keys of any name, escapes', (t) => {
  t.is(text(layoutSafetensors([], null).header), '{}      ')
  t.is(text(layoutSafetensors([], {}).header), '{}      ')
  const metadata = JSON.parse('{"__proto__":"é😀\\u0001\\u2028"}')
  t.is(
    text(layoutSafetensors([], metadata).header).trimEnd(),
    '{"__metadata__":{"__proto__":"é😀\\u0001\u2028"}}',
  )
})

test('the order of the input does not matter; every tensor is aligned to its dtype', (t) => {
  const dtypes = DTYPES.filter((dtype) => dtypeBits(dtype) % 8 === 0)
  const tensors = fc.uniqueArray(
    fc.record({
      name: fc.string({ unit: 'grapheme', minLength: 1 }),
      dtype: fc.constantFrom(...dtypes),
      shape: fc.array(fc.nat(5), { maxLength: 3 }),
    }),
    { selector: (tensor) => tensor.name },
  )
  const legal = (name: string) => !name.includes('\0') && name !== '__metadata__'
  fc.assert(
    fc.property(tensors, fc.infiniteStream(fc.nat()), (list, random) => {
      const named = list.filter(({ name }) => legal(name))
      const layout = layoutSafetensors(named, null)
      const shuffled = named
        .map((tensor) => ({ tensor, key: random.next().value as number }))
        .sort((a, b) => a.key - b.key)
        .map(({ tensor }) => tensor)
      t.deepEqual(layoutSafetensors(shuffled, null), layout)
      for (const { name, dtype } of named) t.is(layout.offsets.get(name)! % (dtypeBits(dtype) / 8), 0)
      const bytes = named.reduce((sum, { dtype, shape }) => sum + byteLength(dtype, shape), 0)
      t.is(layout.fileBytes, layout.header.byteLength + bytes)
      t.is(layout.header.byteLength % 8, 0)
    }),
  )
})

test('what the format does not allow is refused', (t) => {
  const tensor = (change: object) => [{ name: 'w', dtype: 'F32' as Dtype, shape: [1], ...change }]
  const bad = [
    { name: '' },
    { name: '__metadata__' },
    { name: 'a\0' },
    { name: '\ud800' },
    { name: 7 },
    { dtype: 'F31' },
    { dtype: 'toString' },
    { shape: [-1] },
    { shape: [1.5] },
    { shape: ['1'] },
    { shape: '1' },
    { shape: [2 ** 53] },
  ]
  for (const change of bad) {
    t.like(
      t.throws(() => layoutSafetensors(tensor(change), null), undefined, JSON.stringify(change)),
      { code: 'INVALID_ARGUMENT' },
    )
  }
  const code = (change: object[]) =>
    (t.throws(() => layoutSafetensors(change.flatMap(tensor), null)) as Error & { code: string }).code
  t.is(code([{}, {}]), 'DUPLICATE_TENSOR')
  t.is(code([{ shape: [2 ** 52] }]), 'SIZE_OVERFLOW')
  t.is(code([{ dtype: 'U8', shape: [2 ** 53 - 1] }, { name: 'v' }]), 'SIZE_OVERFLOW')
  t.is(code([{ dtype: 'F4' }]), 'TENSOR_SIZE_MISMATCH')
  for (const metadata of [{ a: 1 }, { a: '\ud800' }, { '\udfff': '' }]) {
    t.like(
      t.throws(() => layoutSafetensors([], metadata as unknown as Record<string, string>)),
      { code: 'INVALID_ARGUMENT' },
    )
  }
  t.like(
    t.throws(() => layoutSafetensors([], { a: 'x'.repeat(100_000_000) })),
    { code: 'HEADER_TOO_LARGE' },
  )
})
