import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { readCheckpoint } from '../../lib/checkpoint/open-checkpoint.js'
import type { ErrorCode } from '../../lib/errors/error-codes.js'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { tinySafetensors, tinySharded } from '../helpers/tiny-checkpoint.js'

const tensor = { dtype: 'F32', shape: [1], data: [1] }
const one = 'model-00001-of-00002.safetensors'
const two = 'model-00002-of-00002.safetensors'
const indexFile = 'model.safetensors.index.json'

interface IndexLie {
  what: string
  /** Text of the index. */
  index: string
  code: ErrorCode
  tensor?: string
  message?: RegExp
}

const map = (json: string) => `{"metadata":{"total_size":8},"weight_map":${json}}`

const lies: IndexLie[] = [
  { what: 'empty', index: '', code: 'INDEX_INVALID' },
  { what: 'not JSON', index: '{', code: 'INDEX_INVALID', message: /not JSON/ },
  { what: 'a list', index: '[]', code: 'INDEX_INVALID', message: /not an object/ },
  { what: 'no weight_map', index: '{"metadata":{}}', code: 'INDEX_INVALID', message: /no weight_map/ },
  { what: 'weight_map is a list', index: map('[]'), code: 'INDEX_INVALID' },
  { what: 'weight_map twice', index: `{"weight_map":{"a":"${one}"},"weight_map":{}}`, code: 'INDEX_INVALID' },
  { what: 'text behind the end', index: `${map('{}')}x`, code: 'INDEX_INVALID' },
  { what: 'shard is a number', index: map('{"a":1}'), code: 'INDEX_INVALID', tensor: 'a' },
  { what: 'name twice', index: map(`{"a":"${one}","\\u0061":"${two}"}`), code: 'INDEX_INVALID', tensor: 'a' },
  { what: 'empty name', index: map(`{"":"${one}"}`), code: 'INDEX_INVALID', tensor: '' },
  ...[
    '../evil.safetensors',
    '/etc/evil.safetensors',
    'sub/evil.safetensors',
    '..\\\\evil.safetensors',
    'C:evil.safetensors',
    '.safetensors',
    '.hidden.safetensors',
    '..',
    '',
    'passwd',
    'pytorch_model.bin',
    'a\\u0000.safetensors',
    'a\\n.safetensors',
    `${'x'.repeat(300)}.safetensors`,
  ].map(
    (name): IndexLie => ({
      what: `shard ${name.slice(0, 30)}`,
      index: map(`{"a":"${name}"}`),
      code: 'INDEX_INVALID',
      tensor: 'a',
      message: /not a shard's name/,
    }),
  ),
  {
    what: 'tensor in no shard',
    index: map(`{"a":"${one}","b":"${two}","c":"${two}"}`),
    code: 'INDEX_MISMATCH',
    tensor: 'c',
  },
  {
    what: 'tensor in another shard',
    index: map(`{"a":"${two}","b":"${two}"}`),
    code: 'INDEX_MISMATCH',
    tensor: 'a',
  },
  { what: 'shards swapped', index: map(`{"a":"${two}","b":"${one}"}`), code: 'INDEX_MISMATCH', tensor: 'a' },
  {
    what: 'missing shard',
    index: map(`{"a":"${one}","b":"model-00003-of-00003.safetensors"}`),
    code: 'SHARD_MISSING',
    message: /model-00003-of-00003/,
  },
]

for (const lie of lies) {
  test(`index, ${lie.what}: ${lie.code}`, async (t) => {
    const folder = tinySharded(tempFolder(t), { [one]: { a: tensor }, [two]: { b: tensor } })
    writeFileSync(join(folder, indexFile), lie.index)
    const error = await t.throwsAsync(readCheckpoint(folder), { instanceOf: TaskfoldError })
    t.is(error?.code, lie.code, error?.message)
    t.is(error?.tensor, lie.tensor)
    t.truthy(error?.hint)
    if (lie.code !== 'SHARD_MISSING') t.is(error?.file, join(folder, indexFile))
    if (lie.message) t.regex(error?.message ?? '', lie.message)
  })
}

test('a tensor that the index does not know: INDEX_MISMATCH names the shard', async (t) => {
  const folder = tinySharded(
    tempFolder(t),
    { [one]: { a: tensor, extra: tensor }, [two]: { b: tensor } },
    (index) => {
      delete index.weight_map.extra
      return index
    },
  )
  const error = await t.throwsAsync(readCheckpoint(folder))
  t.like(error, { code: 'INDEX_MISMATCH', file: join(folder, one), tensor: 'extra' })
})

test('a tensor in two shards: DUPLICATE_TENSOR', async (t) => {
  const folder = tinySharded(tempFolder(t), {
    [one]: { a: tensor, c: tensor },
    [two]: { a: tensor, b: tensor },
  })
  const error = await t.throwsAsync(readCheckpoint(folder))
  t.like(error, { code: 'DUPLICATE_TENSOR', file: join(folder, two), tensor: 'a' })
})

test('a broken shard is named', async (t) => {
  const folder = tinySharded(tempFolder(t), { [one]: { a: tensor }, [two]: { b: tensor } })
  writeFileSync(join(folder, two), tinySafetensors({ tensors: { b: { ...tensor, dtype: 'F31' } } }))
  t.like(await t.throwsAsync(readCheckpoint(folder)), {
    code: 'UNKNOWN_DTYPE',
    file: join(folder, two),
    tensor: 'b',
  })
})

test('a removed shard: SHARD_MISSING names it', async (t) => {
  const folder = tinySharded(tempFolder(t), { [one]: { a: tensor }, [two]: { b: tensor } })
  rmSync(join(folder, one))
  t.like(await t.throwsAsync(readCheckpoint(folder)), { code: 'SHARD_MISSING', file: join(folder, one) })
})

test('an index of a gigabyte is refused by its size', async (t) => {
  const folder = tinySharded(tempFolder(t), { [one]: { a: tensor } })
  truncateSync(join(folder, indexFile), 2 ** 30)
  const error = await t.throwsAsync(readCheckpoint(folder))
  t.like(error, { code: 'INDEX_INVALID', file: join(folder, indexFile) })
  t.regex(error?.message ?? '', /above the limit/)
})

test('folders in the place of files are errors', async (t) => {
  const folder = tempFolder(t)
  mkdirSync(join(folder, 'a/model.safetensors'), { recursive: true })
  mkdirSync(join(folder, 'b', indexFile), { recursive: true })
  t.like(await t.throwsAsync(readCheckpoint(join(folder, 'a'))), { code: 'IO_ERROR' })
  t.like(await t.throwsAsync(readCheckpoint(join(folder, 'b'))), { code: 'IO_ERROR' })
})

const badConfigs: [string, string | Uint8Array][] = [
  ['not JSON', '{"a":'],
  ['a list', '[]'],
  ['null', 'null'],
  ['a string', '"x"'],
  ['no UTF-8', new Uint8Array([0x22, 0xff, 0x22])],
  ['empty', ''],
]
for (const [what, text] of badConfigs) {
  test(`config.json, ${what}: CONFIG_INVALID`, async (t) => {
    const folder = tempFolder(t)
    writeFileSync(join(folder, 'model.safetensors'), tinySafetensors({ tensors: { a: tensor } }))
    writeFileSync(join(folder, 'config.json'), text)
    const error = await t.throwsAsync(readCheckpoint(folder))
    t.like(error, { code: 'CONFIG_INVALID', file: join(folder, 'config.json') })
  })
}
