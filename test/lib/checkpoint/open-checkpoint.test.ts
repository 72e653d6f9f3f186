import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import test from 'ava'
import { readCheckpoint } from '../../../lib/checkpoint/open-checkpoint.js'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { tinySafetensors, tinySharded } from '../../helpers/tiny-checkpoint.js'

const tensor = { dtype: 'F32', shape: [1], data: [1] }
const single = (...names: string[]) =>
  tinySafetensors({ tensors: Object.fromEntries(names.map((name) => [name, tensor])) })

test('a single file', async (t) => {
  const folder = tempFolder(t)
  const file = join(folder, 'any name.safetensors')
  writeFileSync(file, single('b', 'a', 'B'))
  writeFileSync(join(folder, 'config.json'), '{}')
  const checkpoint = await readCheckpoint(relative(process.cwd(), file))
  t.like(checkpoint, { folder, sharded: false, config: null, totalBytes: 12 })
  t.is(checkpoint.source, relative(process.cwd(), file))
  t.deepEqual(checkpoint.otherFiles, [])
  t.deepEqual([...checkpoint.tensors.keys()], ['B', 'a', 'b'])
  t.deepEqual(checkpoint.files[0]?.tensors, ['b', 'a', 'B'])
  t.is(checkpoint.files[0]?.path, file)
})

test('a folder with model.safetensors, config and tokenizer', async (t) => {
  const folder = tempFolder(t)
  writeFileSync(join(folder, 'model.safetensors'), single('a'))
  writeFileSync(join(folder, 'other.safetensors'), single('stray'))
  writeFileSync(join(folder, 'config.json'), '{"__proto__":{"x":1},"hidden_size":8}')
  writeFileSync(join(folder, 'tokenizer.json'), '{}')
  const checkpoint = await readCheckpoint(`${folder}/`)
  t.deepEqual([...checkpoint.tensors.keys()], ['a'])
  t.deepEqual(checkpoint.otherFiles, ['config.json', 'tokenizer.json'])
  t.is(checkpoint.config?.hidden_size, 8)
  t.is((checkpoint.config as { x?: number }).x, undefined)
})

test('a folder with one file of another name', async (t) => {
  const folder = tempFolder(t)
  writeFileSync(join(folder, 'adapter_model.safetensors'), single('a'))
  const { files, sharded } = await readCheckpoint(folder)
  t.is(files[0]?.name, 'adapter_model.safetensors')
  t.false(sharded)
})

test('shards with an index: in name order, stray files and total_size ignored', async (t) => {
  const one = 'model-00001-of-00002.safetensors'
  const two = 'model-00002-of-00002.safetensors'
  const folder = tinySharded(tempFolder(t), {
    [two]: new Map([
      ['__proto__', tensor],
      ['a', tensor],
    ]),
    [one]: { z: tensor, ä: tensor },
  })
  writeFileSync(join(folder, 'model.safetensors'), single('old'))
  writeFileSync(join(folder, 'model-00003-of-00003.safetensors'), 'rubbish')
  const checkpoint = await readCheckpoint(folder)
  t.true(checkpoint.sharded)
  t.deepEqual(
    checkpoint.files.map(({ name }) => name),
    [one, two],
  )
  t.deepEqual([...checkpoint.tensors.keys()], ['__proto__', 'a', 'z', 'ä'])
  t.is(checkpoint.tensors.get('__proto__')?.file, join(folder, two))
  t.is(checkpoint.totalBytes, 16)
  t.deepEqual(checkpoint.otherFiles, [])
})

test('links are followed and kept as found', async (t) => {
  const folder = tempFolder(t)
  mkdirSync(join(folder, 'blobs'))
  mkdirSync(join(folder, 'snap'))
  writeFileSync(join(folder, 'blobs/1'), single('a'))
  symlinkSync('../blobs/1', join(folder, 'snap/model.safetensors'))
  symlinkSync('snap', join(folder, 'latest'))
  const checkpoint = await readCheckpoint(join(folder, 'latest'))
  t.is(checkpoint.folder, join(folder, 'latest'))
  t.is(checkpoint.files[0]?.path, join(folder, 'latest/model.safetensors'))
})

test('Python’s NaN and Infinity in config.json', async (t) => {
  const folder = tempFolder(t)
  writeFileSync(join(folder, 'model.safetensors'), single('a'))
  writeFileSync(
    join(folder, 'config.json'),
    '{"limit":[0.0, Infinity, -Infinity, NaN],"s":"a \\" NaN Infinity"}',
  )
  const { config } = await readCheckpoint(folder)
  t.deepEqual(config, {
    limit: [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, null],
    s: 'a " NaN Infinity',
  })
})

const refusals: [string, string[], RegExp][] = [
  ['several files without an index', ['a.safetensors', 'b.safetensors'], /fetch the index/],
  ['PyTorch only', ['pytorch_model.bin', 'config.json'], /Convert the weights to safetensors/],
  ['GGUF only', ['model.gguf'], /Convert/],
  ['a family', ['family.json'], /unfold a task/],
  ['nothing', [], /Give a \.safetensors file/],
  ['hidden files only', ['.model.safetensors'], /Give a \.safetensors file/],
]
for (const [what, names, hint] of refusals) {
  test(`a folder with ${what}: NOT_A_CHECKPOINT`, async (t) => {
    const folder = tempFolder(t)
    for (const name of names) writeFileSync(join(folder, name), single('a'))
    const error = await t.throwsAsync(readCheckpoint(folder), { instanceOf: TaskfoldError })
    t.like(error, { code: 'NOT_A_CHECKPOINT', file: folder })
    t.regex(error?.hint ?? '', hint)
  })
}

test('files of other kinds: NOT_A_CHECKPOINT', async (t) => {
  const folder = tempFolder(t)
  for (const name of ['pytorch_model.bin', 'model.safetensors.index.json', 'noextension']) {
    writeFileSync(join(folder, name), '{}')
    t.like(await t.throwsAsync(readCheckpoint(join(folder, name))), { code: 'NOT_A_CHECKPOINT' })
  }
})

test('paths that do not exist: NOT_FOUND with what to do', async (t) => {
  const folder = join(tempFolder(t), 'inner')
  mkdirSync(folder)
  writeFileSync(join(folder, 'file'), '')
  symlinkSync('nowhere', join(folder, 'dangling'))
  for (const source of ['none', 'file/below', 'dangling', 'a/b/c', '../x']) {
    const error = await t.throwsAsync(readCheckpoint(join(folder, source)), { instanceOf: TaskfoldError })
    t.is(error?.code, 'NOT_FOUND')
    t.truthy(error?.hint)
  }
  symlinkSync('nowhere', join(folder, 'model.safetensors'))
  t.like(await t.throwsAsync(readCheckpoint(folder)), { code: 'SHARD_MISSING' })
})

test('what is no path at all: INVALID_ARGUMENT', async (t) => {
  for (const source of ['', 'a\0b', undefined, 7, null]) {
    t.like(await t.throwsAsync(readCheckpoint(source as string)), { code: 'INVALID_ARGUMENT' })
  }
})

test('a signal stops it', async (t) => {
  t.like(await t.throwsAsync(readCheckpoint('x', { signal: AbortSignal.abort() })), { code: 'CANCELLED' })
})
