import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { readCheckpoint } from '../../../lib/checkpoint/open-checkpoint.js'
import { readTensor } from '../../../lib/checkpoint/read-tensor.js'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import type { Progress } from '../../../lib/io/progress.js'
import { materialize } from '../../../lib/materialize/materialize.js'
import { openPack } from '../../../lib/pack/open-pack.js'
import { naivePack, naiveUnfold } from '../../helpers/naive-pack.js'
import { sampleFamily } from '../../helpers/sample-family.js'
import { tempFolder } from '../../helpers/temp-folder.js'

for (const task of ['one', 'two']) {
  test(`task ${task} has exactly the tensors that its values say`, async (t) => {
    const folder = tempFolder(t)
    const family = sampleFamily()
    const pack = await openPack(await naivePack(join(folder, 'family'), family))
    const result = await materialize(pack, task, join(folder, 'out'))
    const checkpoint = await readCheckpoint(result.folder)
    const expected = naiveUnfold(family, task)
    t.deepEqual([...checkpoint.tensors.keys()].sort(), [...expected.keys()].sort())
    t.is(result.tensors, expected.size)
    for (const [name, tensor] of expected) {
      const found = await readTensor(checkpoint, name)
      t.deepEqual([found.dtype, [...found.shape]] as unknown, [tensor.dtype, tensor.shape], name)
      t.true(Buffer.from(found.data).equals(tensor.data), name)
    }
  })
}

test('files, shards, index and metadata are those of the task', async (t) => {
  const folder = tempFolder(t)
  const pack = await openPack(await naivePack(join(folder, 'family'), sampleFamily()))
  const out = (await materialize(pack, 'one', join(folder, 'out'))).folder
  t.deepEqual(readdirSync(out).sort(), [
    'config.json',
    'extra.safetensors',
    'model-00001-of-00002.safetensors',
    'model-00002-of-00002.safetensors',
    'model.safetensors.index.json',
    'nested',
    'tokenizer.json',
  ])
  t.is(readFileSync(join(out, 'config.json'), 'utf8'), '{"of":"one"}')
  t.is(readFileSync(join(out, 'nested/code.py'), 'utf8'), 'pass\n')
  const index = JSON.parse(readFileSync(join(out, 'model.safetensors.index.json'), 'utf8'))
  t.is(index.weight_map.mask, 'extra.safetensors')
  t.is(index.weight_map.head, 'model-00002-of-00002.safetensors')
  t.is(index.weight_map.a, 'model-00001-of-00002.safetensors')
  // tied is placed nowhere, so it lies in the first file
  t.is(index.weight_map.tied, 'model-00001-of-00002.safetensors')
  const checkpoint = await readCheckpoint(out)
  for (const file of checkpoint.files) t.deepEqual({ ...file.metadata }, { format: 'pt', note: 'kept' })
  t.is(index.metadata.total_size, checkpoint.totalBytes)
})

test('progress reaches the total, and the result does not depend on threads', async (t) => {
  const folder = tempFolder(t)
  const pack = await openPack(await naivePack(join(folder, 'family'), sampleFamily()))
  const events: Progress[] = []
  const first = await materialize(pack, 'one', join(folder, 'x'), {
    onProgress: (p) => events.push(p),
    threads: 1,
  })
  const second = await materialize(pack, 'one', join(folder, 'y'), { threads: 2, sync: false })
  const last = events.at(-1)!
  t.is(last.phase, 'materialize')
  t.is(last.bytesDone, last.bytesTotal)
  t.is(last.bytesTotal, first.bytes)
  t.true(events.every((event, i) => i === 0 || event.bytesDone >= events[i - 1]!.bytesDone))
  for (const name of first.files) {
    t.true(readFileSync(join(first.folder, name)).equals(readFileSync(join(second.folder, name))), name)
  }
})

test('an existing output is kept unless force is given', async (t) => {
  const folder = tempFolder(t)
  const pack = await openPack(await naivePack(join(folder, 'family'), sampleFamily()))
  const out = join(folder, 'out')
  await materialize(pack, 'one', out)
  const error = await t.throwsAsync(materialize(pack, 'two', out), { instanceOf: TaskfoldError })
  t.is(error.code, 'OUTPUT_EXISTS')
  t.true(existsSync(join(out, 'extra.safetensors')))
  await materialize(pack, 'two', out, { force: true })
  t.false(existsSync(join(out, 'extra.safetensors')))
})

test('the family itself is never written to', async (t) => {
  const folder = tempFolder(t)
  const root = await naivePack(join(folder, 'family'), sampleFamily())
  const pack = await openPack(root)
  symlinkSync(root, join(folder, 'link'))
  const before = readdirSync(root, { recursive: true }).sort()
  for (const out of [root, join(root, 'merged'), join(root, 'tasks/new'), join(folder, 'link/new'), folder]) {
    const error = await t.throwsAsync(materialize(pack, 'one', out, { force: true }), {
      instanceOf: TaskfoldError,
    })
    t.true(['INVALID_ARGUMENT', 'OUTPUT_EXISTS'].includes(error.code), `${out}: ${error.code}`)
  }
  t.deepEqual(readdirSync(root, { recursive: true }).sort(), before)
})

test('an abort leaves nothing', async (t) => {
  const folder = tempFolder(t)
  const pack = await openPack(await naivePack(join(folder, 'family'), sampleFamily()))
  for (const when of ['before', 'during']) {
    const stop = new AbortController()
    if (when === 'before') stop.abort()
    const run = materialize(pack, 'one', join(folder, 'out'), {
      signal: stop.signal,
      onProgress: () => stop.abort(),
    })
    const error = await t.throwsAsync(run, { instanceOf: TaskfoldError })
    t.is(error.code, 'CANCELLED', when)
    t.deepEqual(readdirSync(folder), ['family'], when)
  }
})

test('other files are checked, so a link cannot smuggle a file out', async (t) => {
  const folder = tempFolder(t)
  const root = await naivePack(join(folder, 'family'), sampleFamily())
  const pack = await openPack(root)
  // Same size, other bytes: only the fingerprint tells.
  writeFileSync(join(root, 'tasks/one/config.json'), '{"of":"own"}')
  const error = await t.throwsAsync(materialize(pack, 'one', join(folder, 'out')), {
    instanceOf: TaskfoldError,
  })
  t.is(error.code, 'HASH_MISMATCH')
  t.is(error.file, join(root, 'tasks/one/config.json'))
  t.deepEqual(readdirSync(folder), ['family'])
})

test('a family of links, as a download into the Hugging Face cache leaves it, unfolds', async (t) => {
  const folder = tempFolder(t)
  const root = await naivePack(join(folder, 'blobs'), sampleFamily())
  const linked = join(folder, 'family')
  for (const name of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(name.parentPath, name.name)
    const target = join(linked, path.slice(root.length))
    if (name.isDirectory()) mkdirSync(target, { recursive: true })
  }
  for (const name of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(name.parentPath, name.name)
    if (name.isFile()) symlinkSync(path, join(linked, path.slice(root.length)))
  }
  const pack = await openPack(linked)
  const { folder: out } = await materialize(pack, 'one', join(folder, 'out'))
  t.is(readFileSync(join(out, 'config.json'), 'utf8'), '{"of":"one"}')
})

test('an unknown task is named together with the known ones', async (t) => {
  const folder = tempFolder(t)
  const pack = await openPack(await naivePack(join(folder, 'family'), sampleFamily()))
  const error = await t.throwsAsync(materialize(pack, 'three', join(folder, 'out')), {
    instanceOf: TaskfoldError,
  })
  t.is(error.code, 'NOT_FOUND')
  t.regex(error.message, /one, two/)
})
