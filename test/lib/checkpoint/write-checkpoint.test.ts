import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { byteLength, DTYPES } from '../../../lib/checkpoint/dtypes.js'
import { sortNames } from '../../../lib/checkpoint/names.js'
import { readCheckpoint } from '../../../lib/checkpoint/open-checkpoint.js'
import { readTensor } from '../../../lib/checkpoint/read-tensor.js'
import { assertUnchanged } from '../../../lib/checkpoint/unchanged.js'
import { type TensorToWrite, writeCheckpoint } from '../../../lib/checkpoint/write-checkpoint.js'
import { tempFolder } from '../../helpers/temp-folder.js'

const tensor = (name: string, bytes: number): TensorToWrite => ({
  name,
  dtype: 'U8',
  shape: [bytes],
  data: new Uint8Array(bytes).fill(7),
})

test('one file, no index, format: pt', async (t) => {
  const root = tempFolder(t)
  const folder = join(root, 'out')
  await writeCheckpoint(folder, [tensor('b', 3), tensor('a', 2)], {
    metadata: { source: 'x', format: 'mlx' },
  })
  t.deepEqual(readdirSync(folder), ['model.safetensors'])
  t.deepEqual(readdirSync(root), ['out'])
  const json =
    '{"__metadata__":{"source":"x","format":"pt"},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},' +
    '"b":{"dtype":"U8","shape":[3],"data_offsets":[2,5]}}'
  const bytes = readFileSync(join(folder, 'model.safetensors'))
  t.is(bytes.toString('latin1', 8, 8 + json.length), json)
  t.is(bytes.length % 8, 5)
})

test('shards are filled in the given order; a large tensor gets its own', async (t) => {
  const folder = join(tempFolder(t), 'out')
  const tensors = [tensor('c', 6), tensor('__proto__', 4), tensor('0', 25), tensor('a', 1), tensor('b', 0)]
  await writeCheckpoint(folder, tensors, { maxShardBytes: 10 })
  const shard = (i: number) => `model-0000${i}-of-00003.safetensors`
  const index = readFileSync(join(folder, 'model.safetensors.index.json'), 'utf8')
  t.is(
    index,
    `{\n  "metadata": {\n    "total_size": 36\n  },\n  "weight_map": {\n    "c": "${shard(1)}",\n` +
      `    "__proto__": "${shard(1)}",\n    "0": "${shard(2)}",\n    "a": "${shard(3)}",\n    "b": "${shard(3)}"\n  }\n}\n`,
  )
  const checkpoint = await readCheckpoint(folder)
  t.true(checkpoint.sharded)
  t.is(checkpoint.totalBytes, 36)
  t.deepEqual(
    checkpoint.files.map((file) => [file.name, file.tensors.length, { ...file.metadata }]),
    [
      [shard(1), 2, { format: 'pt' }],
      [shard(2), 1, { format: 'pt' }],
      [shard(3), 2, { format: 'pt' }],
    ],
  )
})

test('what is written is read back: any names, dtypes, shapes and shard sizes', async (t) => {
  const root = tempFolder(t)
  const name = fc
    .oneof(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
      fc.constantFrom('__proto__', 'constructor', '0'),
    )
    .filter((each) => !each.includes('\0') && each !== '__metadata__')
  const shape = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }).map((extents) => [...extents, 4])
  const tensors = fc.uniqueArray(
    fc.record({ name, dtype: fc.constantFrom(...DTYPES), shape, seed: fc.nat(255), lazy: fc.boolean() }),
    { selector: (each) => each.name, maxLength: 12 },
  )
  const metadata = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), {
    maxKeys: 3,
  })
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      tensors,
      metadata,
      fc.integer({ min: 1, max: 400 }),
      async (list, meta, maxShardBytes) => {
        const folder = join(root, String(run++))
        const written = list.map(({ seed, lazy, ...info }) => {
          const bytes = new Uint8Array(byteLength(info.dtype, info.shape)).map(
            (_, i) => (seed + 31 * i) & 255,
          )
          return { ...info, bytes, data: lazy ? async () => bytes : bytes }
        })
        await writeCheckpoint(folder, written, { metadata: meta, maxShardBytes })
        const checkpoint = await readCheckpoint(folder)
        t.deepEqual([...checkpoint.tensors.keys()], sortNames(list.map((each) => each.name)))
        for (const { name, dtype, shape, bytes } of written) {
          const read = await readTensor(checkpoint, name)
          t.deepEqual(read, { name, dtype, shape, data: bytes })
        }
        for (const file of checkpoint.files) t.deepEqual({ ...file.metadata }, { ...meta, format: 'pt' })
        await assertUnchanged(checkpoint)
      },
    ),
    { numRuns: 40 },
  )
})

test('no tensors at all', async (t) => {
  const folder = join(tempFolder(t), 'out')
  await writeCheckpoint(folder, [])
  t.is((await readCheckpoint(folder)).tensors.size, 0)
})

test('bad input leaves nothing behind', async (t) => {
  const root = tempFolder(t)
  const folder = join(root, 'a/out')
  const late = (data: unknown): TensorToWrite => ({
    ...tensor('late', 4),
    data: async () => data as Uint8Array,
  })
  const cases: [string, TensorToWrite[], object?][] = [
    ['DUPLICATE_TENSOR', [tensor('a', 1), tensor('a', 1)], { maxShardBytes: 1 }],
    ['TENSOR_SIZE_MISMATCH', [{ ...tensor('a', 1), shape: [2] }]],
    ['TENSOR_SIZE_MISMATCH', [tensor('a', 1), late(new Uint8Array(3))]],
    ['TENSOR_SIZE_MISMATCH', [late(undefined)]],
    ['INVALID_ARGUMENT', [{ ...tensor('a', 1), dtype: 'F31' as 'F32' }]],
    ['INVALID_ARGUMENT', [tensor('', 1)]],
    ['INVALID_ARGUMENT', [tensor('a', 1)], { maxShardBytes: 0 }],
    ['INVALID_ARGUMENT', [tensor('a', 1)], { maxShardBytes: Number.NaN }],
    ['INVALID_ARGUMENT', [tensor('a', 1)], { metadata: { a: 1 } }],
    ['INVALID_ARGUMENT', [{ ...tensor('a', 1), data: async () => Promise.reject(new Error('mine')) }]],
    ['CANCELLED', [tensor('a', 1)], { signal: AbortSignal.abort() }],
  ]
  for (const [code, tensors, options] of cases) {
    t.like(await t.throwsAsync(writeCheckpoint(folder, tensors, options)), { code }, code)
    t.deepEqual(readdirSync(root), [])
  }
})

test('a signal in the middle leaves nothing behind', async (t) => {
  const root = tempFolder(t)
  const controller = new AbortController()
  const tensors = [
    tensor('a', 1),
    {
      ...tensor('b', 1),
      data: async () => {
        controller.abort()
        return new Uint8Array(1)
      },
    },
  ]
  const error = await t.throwsAsync(
    writeCheckpoint(join(root, 'out'), tensors, { signal: controller.signal }),
  )
  t.like(error, { code: 'CANCELLED' })
  t.deepEqual(readdirSync(root), [])
})

test('an existing checkpoint needs force', async (t) => {
  const folder = join(tempFolder(t), 'out')
  await writeCheckpoint(folder, [tensor('a', 1)])
  t.like(await t.throwsAsync(writeCheckpoint(folder, [tensor('b', 1)])), { code: 'OUTPUT_EXISTS' })
  t.true((await readCheckpoint(folder)).tensors.has('a'))
  await writeCheckpoint(folder, [tensor('b', 1)], { force: true })
  t.deepEqual([...(await readCheckpoint(folder)).tensors.keys()], ['b'])
})

test('progress counts the bytes of the tensors', async (t) => {
  const events: number[] = []
  await writeCheckpoint(join(tempFolder(t), 'out'), [tensor('a', 1), tensor('b', 2)], {
    onProgress: ({ phase, bytesDone, bytesTotal }) => {
      t.is(phase, 'copy')
      t.is(bytesTotal, 3)
      events.push(bytesDone)
    },
  })
  t.is(events.at(-1), 3)
})

test('a foreign folder is not overwritten', async (t) => {
  const folder = join(tempFolder(t), 'photos')
  mkdirSync(folder)
  writeFileSync(join(folder, 'a.jpg'), '')
  t.like(await t.throwsAsync(writeCheckpoint(folder, [], { force: true })), { code: 'OUTPUT_EXISTS' })
  t.true(existsSync(join(folder, 'a.jpg')))
})
