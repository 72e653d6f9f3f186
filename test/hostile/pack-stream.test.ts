import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { ErrorCode } from '../../lib/errors/error-codes.js'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { fold } from '../../lib/fold/fold.js'
import { materialize } from '../../lib/materialize/materialize.js'
import { materializeTensor } from '../../lib/materialize/materialize-tensor.js'
import { openPack } from '../../lib/pack/open-pack.js'
import { inspect } from '../../lib/report/inspect.js'
import { verify } from '../../lib/report/verify.js'
import { type Random, seededRandom } from '../helpers/random.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { type TinyTensor, tinySafetensors } from '../helpers/tiny-checkpoint.js'
import { writeModel } from '../helpers/write-model.js'

/** A delta file taken apart: description, stored tensors in file order. */
interface Parts {
  // biome-ignore lint/suspicious/noExplicitAny: lies have any shape
  header: any
  stored: Map<string, TinyTensor & { data: Uint8Array }>
}

// biome-ignore lint/suspicious/noExplicitAny: lies have any shape
type Edit = (manifest: any) => void

const [TABLES, DIRECTORY, CODES] = ['taskfold.tables', 'taskfold.directory', 'taskfold.codes'] as const
const DELTA = 'tasks/one/delta.safetensors'

/** Folded once, copied for every lie. */
const folded = mkdtempSync(join(tmpdir(), 'taskfold-stream-'))

/** Deltas with own blocks and joint ones, rows, a whole tensor, the same integers, one that the task lacks. */
test.before(async () => {
  const random = seededRandom(60)
  const floats = (n: number) => Array.from({ length: n }, () => random.below(2000) / 1000 - 1)
  const near = (values: number[]) => values.map((value) => value + (random.below(2000) / 1000 - 1) * 0.1)
  const [a, b, gone, table] = [floats(40000), floats(15), floats(6), floats(32)]
  const f32 = (shape: number[], data: number[]): TinyTensor => ({ dtype: 'F32', shape, data })
  const ids: TinyTensor = { dtype: 'I64', shape: [2], data: new Uint8Array(16).fill(3) }
  const files = { 'config.json': '{}' }
  const base = writeModel(join(folded, 'base'), {
    tensors: {
      a: f32([2, 20000], a),
      b: f32([3, 5], b),
      gone: f32([6], gone),
      ids,
      table: f32([4, 8], table),
    },
    files,
  })
  const model = (name: string, extra: Record<string, TinyTensor>, rows: number[]) =>
    writeModel(join(folded, name), {
      tensors: {
        a: f32([2, 20000], near(a)),
        b: f32([3, 5], near(b)),
        ids,
        table: f32([rows.length / 8, 8], rows),
        ...extra,
      },
      files,
    })
  const tasks = {
    one: model('one', { head: f32([3], floats(3)) }, [...near(table), ...floats(16)]),
    two: model('two', { gone: f32([6], near(gone)) }, near(table)),
  }
  await fold({ base, tasks, output: join(folded, 'family'), codec: 'step', targetBits: 3, rows: 'prefix' })
})
test.after.always(() => rmSync(folded, { recursive: true, force: true }))

function family(t: ExecutionContext): string {
  const root = join(tempFolder(t), 'family')
  cpSync(join(folded, 'family'), root, { recursive: true })
  return root
}

function readParts(root: string): Parts {
  const bytes = readFileSync(join(root, DELTA))
  const begin = 8 + Number(bytes.readBigUInt64LE(0))
  const { __metadata__: metadata, ...entries } = JSON.parse(bytes.subarray(8, begin).toString())
  const stored: Parts['stored'] = new Map()
  for (const [name, { dtype, shape, data_offsets: at }] of Object.entries(entries) as [string, never][])
    stored.set(name, { dtype, shape, data: bytes.subarray(begin + at[0], begin + at[1]) })
  const begins = (name: string) => stored.get(name)!.data.byteOffset
  const order = [...stored.keys()].sort((x, y) => begins(x) - begins(y))
  return {
    header: JSON.parse(metadata.taskfold),
    stored: new Map(order.map((name) => [name, stored.get(name)!])),
  }
}

function editManifest(root: string, change: Edit): void {
  const path = join(root, 'family.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8'))
  change(manifest)
  writeFileSync(path, JSON.stringify(manifest))
}

/** Writes the delta file; family.json gets its length, so that what is inside is what is looked at. */
function writeDelta(root: string, bytes: Buffer): void {
  writeFileSync(join(root, DELTA), bytes)
  editManifest(root, (manifest) => {
    const task = manifest.tasks.find(({ name }: { name: string }) => name === 'one')
    const entry = task.files.find(({ path }: { path: string }) => path === DELTA)
    task.bytes += bytes.length - entry.bytes
    entry.bytes = bytes.length
  })
}

function writeParts(root: string, { header, stored }: Parts): void {
  const plain = tinySafetensors({ tensors: stored, metadata: { taskfold: JSON.stringify(header) } })
  // Data begins at a multiple of 8, as the format wants it.
  const length = Number(plain.readBigUInt64LE(0))
  const padding = -length & 7
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(BigInt(length + padding))
  writeDelta(
    root,
    Buffer.concat([
      prefix,
      plain.subarray(8, 8 + length),
      Buffer.alloc(padding, ' '),
      plain.subarray(8 + length),
    ]),
  )
}

/** Anything but a typed error of the input's own is a bug. */
function assertTyped(t: ExecutionContext, error: unknown, what: string): void {
  if (!(error instanceof TaskfoldError) || error.code === 'INTERNAL') {
    t.log(error)
    t.fail(`${what}: ${error}`)
  }
}

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

/** One row of bytes of another length. */
function resize(stored: Parts['stored'], name: string, length: number): void {
  const data = new Uint8Array(length)
  data.set(stored.get(name)!.data.subarray(0, length))
  stored.set(name, { dtype: 'U8', shape: [length], data })
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

const bytesOf = ({ stored }: Parts, name: string) => stored.get(name)!.data

/** Found when the arrays are read. */
const arrayLies: Record<string, (parts: Parts) => void> = {
  'no bytes of tables': ({ stored }) => resize(stored, TABLES, 0),
  'no bytes of a directory': ({ stored }) => resize(stored, DIRECTORY, 0),
  'no bytes of codes': ({ stored }) => resize(stored, CODES, 0),
  'tables that are cut': ({ stored }) => resize(stored, TABLES, 8),
  'codes that are cut': ({ stored }) => resize(stored, CODES, stored.get(CODES)!.data.length - 8),
  'codes that are too long': ({ stored }) => resize(stored, CODES, stored.get(CODES)!.data.length + 8),
  'a directory that is too long': ({ stored }) => resize(stored, DIRECTORY, 4096),
  'tables that are too long': ({ stored }) => resize(stored, TABLES, 1 << 20),
  'an endless varint': (parts) => bytesOf(parts, DIRECTORY).fill(0xff),
  'tables of zeros': (parts) => bytesOf(parts, TABLES).fill(0),
  'a directory of zeros': (parts) => bytesOf(parts, DIRECTORY).fill(0),
  'codes of zeros': (parts) => bytesOf(parts, CODES).fill(0),
  'codes of ones': (parts) => bytesOf(parts, CODES).fill(0xff),
  'arrays that changed places': ({ header }) => {
    const { tables, directory } = header.coded
    Object.assign(header.coded, { tables: directory, directory: tables })
  },
  'a coded tensor less': ({ header }) => (header.absent = ['b', 'gone']),
  'a coded tensor more': ({ header }) => (header.absent = []),
}

for (const [name, change] of Object.entries(arrayLies)) {
  test(`arrays with ${name}`, async (t) => {
    const root = family(t)
    const parts = readParts(root)
    for (const tensor of parts.stored.values()) tensor.data = new Uint8Array(tensor.data)
    change(parts)
    writeParts(root, parts)
    editManifest(root, (manifest) => (manifest.tasks[0].elements = 1e6))
    const pack = await openPack(root)
    const uses = [
      () => materialize(pack, 'one', join(root, '..', 'out')),
      () => materializeTensor(pack, 'one', 'a'),
    ]
    for (const use of uses) {
      const error = await t.throwsAsync(use, { instanceOf: TaskfoldError })
      t.deepEqual(
        [error.code, error.file, error.task],
        ['PACK_INVALID', join(root, DELTA), 'one'],
        error.message,
      )
    }
    t.deepEqual(readdirSync(join(root, '..')), ['family'])
    const error = await t.throwsAsync(verify(root), { instanceOf: TaskfoldError })
    t.is(error.code, 'VERIFY_FAILED')
    t.true(error.problems!.some((problem) => problem.code === 'PACK_INVALID' && problem.task === 'one'))
    await t.notThrowsAsync(inspect(root))
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

test('verify finds a flipped bit wherever it is', async (t) => {
  const root = family(t)
  const path = join(root, DELTA)
  const honest = readFileSync(path)
  const random = seededRandom(61)
  for (let round = 0; round < 60; round++) {
    const bytes = Buffer.from(honest)
    const at = random.below(bytes.length)
    bytes[at]! ^= 1 << random.below(8)
    writeFileSync(path, bytes)
    const error = await t.throwsAsync(verify(root), { instanceOf: TaskfoldError }, `byte ${at}`)
    t.true(
      error.code === 'VERIFY_FAILED' && error.problems!.every((problem) => problem.code !== 'INTERNAL'),
      `byte ${at}: ${error.code} ${error.message}`,
    )
  }
  writeFileSync(path, honest)
  await t.notThrowsAsync(verify(root))
})

/** Flips, random runs, a cut or longer file; mostly in the small arrays and the header, which decide most. */
function spoil(bytes: Buffer, random: Random): Buffer {
  const place = () => random.below(random.chance(0.6) ? Math.min(bytes.length, 2500) : bytes.length)
  if (random.chance(0.1)) return bytes.subarray(0, place())
  if (random.chance(0.1)) return Buffer.concat([bytes, Buffer.alloc(1 + random.below(64), random.below(256))])
  for (let i = 1 + random.below(3); i > 0; i--) {
    const at = random.chance(0.5) ? place() : Math.max(0, bytes.length - 1 - random.below(2500))
    if (random.chance(0.5)) bytes[at]! ^= 1 << random.below(8)
    else for (let j = at; j < Math.min(bytes.length, at + 12); j++) bytes[j] = random.below(256)
  }
  return bytes
}

test('random bytes in the delta file: an answer or a typed error, and no output left behind', async (t) => {
  const root = family(t)
  const honest = readFileSync(join(root, DELTA))
  const random = seededRandom(62)
  let refused = 0
  for (let round = 0; round < 300; round++) {
    writeDelta(root, spoil(Buffer.from(honest), random))
    const out = join(root, '..', 'out')
    try {
      await materialize(await openPack(root), 'one', out, { sync: false })
    } catch (error) {
      refused++
      assertTyped(t, error, `round ${round}`)
      t.deepEqual(readdirSync(join(root, '..')), ['family'], `round ${round}`)
    }
    rmSync(out, { recursive: true, force: true })
    if (round % 10 === 0) {
      const inspected = await inspect(root).catch((thrown: unknown) => thrown)
      if (inspected instanceof Error) assertTyped(t, inspected, `round ${round}, inspect`)
    }
  }
  t.true(refused > 100, `${refused} refused`)
})
