import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { ErrorCode } from '../../lib/errors/error-codes.js'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { materialize } from '../../lib/materialize/materialize.js'
import { openPack } from '../../lib/pack/open-pack.js'
import { inspect } from '../../lib/report/inspect.js'
import { verify } from '../../lib/report/verify.js'
import {
  assertTyped,
  CODES,
  DELTA,
  DIRECTORY,
  type Edit,
  editManifest,
  foldedOnce,
  type Parts,
  readParts,
  resize,
  TABLES,
  writeParts,
} from './stream-lies.js'

const family = foldedOnce(test)

test('an honest family, and one whose delta file is written anew, are used without an error', async (t) => {
  const root = family(t)
  for (const round of [0, 1]) {
    if (round === 1) writeParts(root, readParts(root))
    const pack = await openPack(root)
    for (const { name } of pack.manifest.tasks)
      await t.notThrowsAsync(materialize(pack, name, join(root, '..', `${name}-${round}`)))
    await t.notThrowsAsync(inspect(root))
    if (round === 0) await t.notThrowsAsync(verify(root))
  }
  const [before, after] = [0, 1].map((round) =>
    readFileSync(join(root, '..', `one-${round}`, 'model.safetensors')),
  )
  t.true(before!.equals(after!))
  const { header } = readParts(root)
  t.deepEqual(header.absent, ['gone'])
  t.deepEqual(Object.keys(header.tensors).sort(), ['head', 'ids', 'table'])
})

type Lie = [edit: (parts: Parts) => void, message: RegExp, tensor?: string, code?: ErrorCode]

function rename(stored: Parts['stored'], from: string, to: string): void {
  const entries = [...stored].map(([name, tensor]) => [name === from ? to : name, tensor] as const)
  stored.clear()
  for (const [name, tensor] of entries) stored.set(name, tensor)
}

const step = (value: unknown): Lie => [({ header }) => (header.step = value), /step must be/]
const coded = (value: unknown, message: RegExp): Lie => [({ header }) => (header.coded = value), message]
const absent = (value: unknown, message = /absent must be/): Lie => [
  ({ header }) => (header.absent = value),
  message,
]

/** Found from headers alone, before anything is written. */
const headerLies: Record<string, Lie> = {
  'a newer format': [({ header }) => (header.format = 2), /format 2/, undefined, 'PACK_VERSION'],
  'format 0': [({ header }) => (header.format = 0), /format/],
  'codec exact': [({ header }) => (header.codec = 'exact'), /codec must be 'step'/],
  'codec svd': [({ header }) => (header.codec = 'svd'), /codec must be 'step'/],
  'a codec of a newer release': [({ header }) => (header.codec = 'wavelet'), /codec must be 'step'/],
  "another task's name": [({ header }) => (header.task = 'two'), /task must be 'one'/],
  'step 0': step(0),
  'step -0.5': step(-0.5),
  'step null': step(null),
  'step beyond f32': step(1e39),
  'step below f32': step(1e-60),
  'a step that is text': step('0.01'),
  'a step that is a list': step([0.01]),
  'no step': step(undefined),
  'coded null': coded(null, /'coded' must be an object/),
  'coded a list': coded([], /coded/),
  'coded text': coded(CODES, /coded/),
  'no coded': coded(undefined, /coded/),
  'coded without codes': coded({ tables: TABLES, directory: DIRECTORY }, /codes must be/),
  'coded without tables': coded({ directory: DIRECTORY, codes: CODES }, /tables must be/),
  'coded without a directory': coded({ tables: TABLES, codes: CODES }, /directory must be/),
  'a name that is a number': coded({ tables: 1, directory: DIRECTORY, codes: CODES }, /tables must be/),
  'one name for two arrays': coded({ tables: TABLES, directory: TABLES, codes: CODES }, /another name/),
  'a name that is not stored': coded(
    { tables: 'x', directory: DIRECTORY, codes: CODES },
    /"x" is not stored/,
  ),
  'a name of Object': coded(
    { tables: '__proto__', directory: DIRECTORY, codes: CODES },
    /"__proto__" is not stored/,
  ),
  'an array that is a whole tensor too': [({ header }) => (header.coded.tables = 'head'), /head/],
  'no absent': absent(undefined),
  'absent null': absent(null),
  'absent an object': absent({ gone: true }),
  'an absent number': absent([1]),
  'an absent null': absent([null, 'gone']),
  'an absent list': absent([['gone']]),
  'absent names twice': absent(['gone', 'gone']),
  'absent names out of order': absent(['gone', 'b']),
  'an absent name that is described': absent(['gone', 'head']),
  'an absent name that merged lacks': absent(['gone', 'zebra'], /"zebra" is absent, but merged/),
  'an absent name of Object': absent(['__proto__', 'gone'], /"__proto__" is absent, but merged/),
  'everything absent': absent(['a', 'b', 'gone'], /tables|directory|codes|must be null/),
  'no tensors': [({ header }) => delete header.tensors, /tensors must be an object/],
  'tensors in a list': [({ header }) => (header.tensors = []), /tensors must be an object/],
  'a description that is text': [({ header }) => (header.tensors.head = 'whole'), /object/, 'head'],
  'kind delta': [({ header }) => (header.tensors.head.kind = 'delta'), /kind/, 'head'],
  'an unknown kind': [({ header }) => (header.tensors.head.kind = 'constructor'), /kind/, 'head'],
  'a delta beside the stream': [
    ({ header }) =>
      (header.tensors.b = { kind: 'delta', dtype: 'F32', shape: [3, 5], kept: 0, index: 'u16' }),
    /kind/,
    'b',
  ],
  'rows with kept': [({ header }) => (header.tensors.table.kept = 0), /kept is no field/, 'table'],
  'rows with index': [({ header }) => (header.tensors.table.index = 'u16'), /index is no field/, 'table'],
  'rows with values': [({ header }) => (header.tensors.table.values = 'sign'), /values is no field/, 'table'],
  'rows with a scale': [({ header }) => (header.tensors.table.scale = 1), /scale is no field/, 'table'],
  'more rows than merged': [({ header }) => (header.tensors.table.rows = 5), /rows is 5/, 'table'],
  'rows of another width': [({ header }) => (header.tensors.table.shape = [6, 9]), /./, 'table'],
  'rows of another dtype': [({ header }) => (header.tensors.table.dtype = 'BF16'), /./, 'table'],
  'rows of a tensor that merged lacks': [
    ({ header }) => (header.tensors.new = { ...header.tensors.table, stem: 'table' }),
    /merged\/ does not have/,
    'new',
  ],
  'a whole tensor of another shape': [({ header }) => (header.tensors.head.shape = [4]), /\[3\]/, 'head'],
  'integers that are not described': [
    ({ header }) => delete header.tensors.ids,
    /I64 in merged\/, and no description/,
    'ids',
  ],
  'a whole tensor that is not described': [
    ({ header }) => delete header.tensors.head,
    /"head" belongs to no/,
  ],
  'the same as a tensor that merged lacks': [
    ({ header }) => (header.tensors.ghost = { kind: 'same', dtype: 'F32', shape: [] }),
    /merged\/ does not have/,
    'ghost',
  ],
  'an alias of nothing': [
    ({ header }) => (header.tensors.tied = { kind: 'alias', dtype: 'F32', shape: [3], of: 'toString' }),
    /does not have/,
    'tied',
  ],
  'a tensor without a name': [({ header }) => (header.tensors[''] = header.tensors.ids), /empty/, ''],
  'a stored tensor that nobody describes': [
    ({ stored }) => stored.set('more', { dtype: 'U8', shape: [8], data: new Uint8Array(8) }),
    /"more" belongs to no/,
  ],
  'no tables': [({ stored }) => stored.delete(TABLES), /"taskfold.tables" is not stored/],
  'no directory': [({ stored }) => stored.delete(DIRECTORY), /"taskfold.directory" is not stored/],
  'no codes': [({ stored }) => stored.delete(CODES), /"taskfold.codes" is not stored/],
  'codes under another name': [({ stored }) => rename(stored, CODES, 'codes'), /is not stored/],
  'codes of another dtype': [({ stored }) => (stored.get(CODES)!.dtype = 'I8'), /bytes in one row/],
  'tables of another dtype': [({ stored }) => (stored.get(TABLES)!.dtype = 'BOOL'), /bytes in one row/],
  'codes in two rows': [
    ({ stored }) => {
      const tensor = stored.get(CODES)!
      tensor.shape = [2, tensor.data.length / 2]
    },
    /bytes in one row/,
  ],
  'a directory without padding': [
    ({ stored }) => resize(stored, DIRECTORY, stored.get(DIRECTORY)!.data.length - 1),
    /a multiple of 8/,
  ],
  'arrays off their alignment': [
    ({ stored }) => {
      const rest = [...stored]
      stored.clear()
      stored.set('four', { dtype: 'U8', shape: [4], data: new Uint8Array(4) })
      for (const [name, tensor] of rest) stored.set(name, tensor)
    },
    /a multiple of 8/,
  ],
}

for (const [name, [change, message, tensor, code = 'PACK_INVALID']] of Object.entries(headerLies)) {
  test(`a delta file with ${name}`, async (t) => {
    const root = family(t)
    const parts = readParts(root)
    change(parts)
    writeParts(root, parts)
    const pack = await openPack(root)
    const unfold = materialize(pack, 'one', join(root, '..', 'out'))
    const error = await t.throwsAsync(unfold, { instanceOf: TaskfoldError })
    t.is(error.code, code, error.message)
    t.is(error.file, join(root, DELTA))
    t.regex(error.message, message)
    if (tensor !== undefined) t.is(error.tensor, tensor)
    t.deepEqual(readdirSync(join(root, '..')), ['family'])
    await t.throwsAsync(verify(root), { instanceOf: TaskfoldError, code: 'VERIFY_FAILED' })
    const inspected = await inspect(root).catch((thrown: unknown) => thrown)
    if (inspected instanceof Error) assertTyped(t, inspected, 'inspect')
    await t.notThrowsAsync(materialize(pack, 'two', join(root, '..', 'two')), 'the other task')
  })
}

/** Lies of family.json about a task with a stream: edit of its entry, what the message says. */
const manifestLies: Record<string, [Edit, RegExp, ErrorCode?]> = {
  'no loss': [(task) => delete task.loss, /loss must be an object/],
  'a loss that is a list': [(task) => (task.loss = []), /loss/],
  'no step': [(task) => delete task.loss.step, /step must be/],
  'a negative step': [(task) => (task.loss.step = -1), /step must be/],
  'no bits': [(task) => delete task.loss.bits, /bits must be/],
  'negative bits': [(task) => (task.loss.bits = -0.1), /bits must be/],
  'no relative error': [(task) => delete task.loss.relativeError, /relativeError must be/],
  'a negative relative error': [(task) => (task.loss.relativeError = -0.1), /relativeError must be/],
  'a relative error NaN': [(task) => (task.loss.relativeError = null), /relativeError must be/],
  'kept above elements': [(task) => (task.kept = task.elements + 1), /kept must be/],
  'fewer elements than are coded': [
    (task) => {
      task.elements = 5
      task.kept = 5
    },
    /elements to choose from/,
  ],
  'no delta file': [
    (task) => {
      task.files = task.files.filter(({ path }: { path: string }) => path !== DELTA)
      task.bytes = task.files.reduce((sum: number, { bytes }: { bytes: number }) => sum + bytes, 0)
    },
    /needs delta.safetensors/,
  ],
  'two delta files': [
    (task) => {
      const entry = task.files.find(({ path }: { path: string }) => path === DELTA)
      const name = (part: number) => `tasks/one/delta-0000${part}-of-00002.safetensors`
      task.files = task.files.filter(({ path }: { path: string }) => path !== DELTA)
      task.files.unshift({ ...entry, path: name(1) }, { ...entry, path: name(2) })
      task.bytes += entry.bytes
    },
    /needs delta.safetensors|missing|not there|does not exist/,
  ],
  'a codec of a newer release': [(task) => (task.codec = 'step2'), /codec 'step2'/, 'PACK_VERSION'],
}

for (const [name, [change, message, code = 'PACK_INVALID']] of Object.entries(manifestLies)) {
  test(`family.json with ${name}`, async (t) => {
    const root = family(t)
    editManifest(root, (manifest) => change(manifest.tasks[0]))
    const use = async () => materialize(await openPack(root), 'one', join(root, '..', 'out'))
    const error = await t.throwsAsync(use, { instanceOf: TaskfoldError })
    t.is(error.code, code, error.message)
    t.regex(error.message, message)
    t.deepEqual(readdirSync(join(root, '..')), ['family'])
  })
}

for (const codec of ['exact', 'sign', 'int4', 'svd', 'lora']) {
  test(`family.json says ${codec}, the delta file says step`, async (t) => {
    const root = family(t)
    editManifest(root, (manifest) => (manifest.tasks[0].codec = codec))
    const use = async () => materialize(await openPack(root), 'one', join(root, '..', 'out'))
    const error = await t.throwsAsync(use, { instanceOf: TaskfoldError })
    t.true(['PACK_INVALID', 'PACK_VERSION'].includes(error.code), `${error.code} ${error.message}`)
    t.deepEqual(readdirSync(join(root, '..')), ['family'])
  })
}

test('a stream without coded tensors says so, and has no arrays', async (t) => {
  const root = family(t)
  const parts = readParts(root)
  parts.header.absent = ['a', 'b', 'gone', 'table']
  delete parts.header.tensors.table
  for (const name of [...parts.stored.keys()]) if (name !== 'head') parts.stored.delete(name)
  parts.header.coded = null
  writeParts(root, parts)
  const pack = await openPack(root)
  await t.notThrowsAsync(materialize(pack, 'one', join(root, '..', 'out')))
})
