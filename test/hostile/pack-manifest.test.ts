import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { ErrorCode } from '../../lib/errors/error-codes.js'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { materialize } from '../../lib/materialize/materialize.js'
import { openPack } from '../../lib/pack/open-pack.js'
import { type NaiveHooks, naivePack } from '../helpers/naive-pack.js'
import { sampleFamily } from '../helpers/sample-family.js'
import { tempFolder } from '../helpers/temp-folder.js'

// biome-ignore lint/suspicious/noExplicitAny: lies have any shape
type Edit = (manifest: any) => void

const print = '0'.repeat(32)

/** One lie each; the error must name family.json and match the text. */
const lies: Record<string, [Edit, RegExp, ErrorCode?]> = {
  'a newer format': [(m) => (m.taskfold.format = 2), /format 2/, 'PACK_VERSION'],
  'format 0': [(m) => (m.taskfold.format = 0), /taskfold.format/],
  'a format that is no integer': [(m) => (m.taskfold.format = 1.5), /taskfold.format/],
  'a format that is text': [(m) => (m.taskfold.format = '1'), /taskfold.format/],
  'no taskfold': [(m) => delete m.taskfold, /taskfold must be an object/],
  'a codec of a newer release': [(m) => (m.tasks[0].codec = 'svd'), /codec 'svd'/, 'PACK_VERSION'],
  'a codec that is no text': [(m) => (m.tasks[0].codec = {}), /tasks\[0\].codec/],
  'an unknown merge': [(m) => (m.method.merge = 'ties'), /method.merge/],
  'λ beyond f32': [(m) => (m.method.lambda = 1e300), /method.lambda/],
  'λ as text': [(m) => (m.method.lambda = '0.3'), /method.lambda/],
  'a density above 1': [(m) => (m.method.density = 1.01), /method.density/],
  'an unknown scope': [(m) => (m.method.scope = 'toString'), /method.scope/],
  'tasks that are no array': [(m) => (m.tasks = { 0: m.tasks[0] }), /tasks must be an array/],
  'a task that is null': [(m) => (m.tasks[1] = null), /tasks\[1\] must be an object/],
  'a task name with a path': [(m) => (m.tasks[0].name = '../one'), /tasks\[0\].name/],
  'a hidden task name': [(m) => (m.tasks[0].name = '.one'), /tasks\[0\].name/],
  'two tasks of one name': [(m) => m.tasks.push(m.tasks[0]), /'one' is listed twice/],
  'two tasks that differ in case only': [
    (m) => {
      const text = JSON.stringify(m.tasks[0])
        .replaceAll('tasks/one/', 'tasks/ONE/')
        .replace('"name":"one"', '"name":"ONE"')
      m.tasks.push(JSON.parse(text))
    },
    /'ONE' is listed twice/,
  ],
  'negative kept': [(m) => (m.tasks[0].kept = -1), /tasks\[0\].kept/],
  'kept above elements': [(m) => (m.tasks[0].kept = m.tasks[0].elements + 1), /tasks\[0\].kept/],
  'kept beyond 2^53': [(m) => (m.tasks[0].kept = 2 ** 60), /tasks\[0\].kept/],
  'bytes that are no sum': [(m) => m.tasks[0].bytes++, /tasks\[0\].bytes/],
  'merged bytes that are no sum': [(m) => m.merged.bytes--, /merged.bytes/],
  'a file outside the family': [
    (m) => (m.tasks[0].files[0].path = 'tasks/one/../../../x'),
    /files\[0\].path/,
  ],
  'an absolute file': [(m) => (m.tasks[0].files[0].path = '/etc/passwd'), /files\[0\].path/],
  "another task's file": [(m) => (m.tasks[0].files[0].path = m.tasks[1].files[0].path), /files\[0\].path/],
  'a file with a NUL': [(m) => (m.tasks[0].files[1].path = 'tasks/one/a\0b'), /files\[1\].path/],
  'a file with a backslash': [(m) => (m.tasks[0].files[1].path = 'tasks/one/..\\x'), /files\[1\].path/],
  'a file path that is a number': [(m) => (m.tasks[0].files[1].path = 7), /files\[1\].path/],
  'one file twice': [(m) => m.tasks[0].files.push(m.tasks[0].files[1]), /files\[3\].path/],
  'a negative size': [(m) => (m.tasks[0].files[1].bytes = -5), /files\[1\].bytes/],
  'a fingerprint of the wrong length': [
    (m) => (m.tasks[0].files[0].fingerprint = 'ab'),
    /files\[0\].fingerprint/,
  ],
  'a fingerprint in upper case': [
    (m) => (m.merged.files[0].fingerprint = 'A'.repeat(32)),
    /files\[0\].fingerprint/,
  ],
  'a tensor fingerprint that is none': [(m) => (m.merged.tensors.a = 'x'), /"a".*fingerprint/],
  'a tensor fingerprint that is a number': [(m) => (m.merged.tensors.a = 1), /merged.tensors/],
  'tensors as an array': [(m) => (m.merged.tensors = []), /merged.tensors/],
  'a tensor that merged lacks': [(m) => (m.merged.tensors.ghost = print), /ghost/],
  'a tensor without fingerprint': [(m) => delete m.merged.tensors.b, /"b".*no fingerprint/],
  'an unlisted shard': [
    (m) => {
      const i = m.merged.files.findIndex((file: { path: string }) => file.path.includes('00002-of'))
      m.merged.bytes -= m.merged.files[i].bytes
      m.merged.files.splice(i, 1)
    },
    /does not list merged\/model-00002/,
  ],
  'weights among the other files': [
    (m) => (m.tasks[0].files[1].path = 'tasks/one/pytorch_model.bin'),
    /pytorch_model.bin/,
  ],
  'a shared file that merged lacks': [(m) => (m.tasks[0].sharedFiles = ['nothing.json']), /sharedFiles/],
  'shared weights': [(m) => (m.tasks[0].sharedFiles = ['model-00001-of-00002.safetensors']), /sharedFiles/],
  'a shared path': [(m) => (m.tasks[0].sharedFiles = ['../family.json']), /sharedFiles/],
  'a file both shared and stored': [
    (m) => m.tasks[0].sharedFiles.push('config.json'),
    /config.json' is listed twice/,
  ],
  'a shard with a folder': [(m) => (m.tasks[0].shards.head = 'a/b.safetensors'), /shards/],
  'a shard outside the folder': [(m) => (m.tasks[0].shards.head = '../x.safetensors'), /shards/],
  'a shard that is no safetensors file': [(m) => (m.tasks[0].shards.head = 'config.json'), /shards/],
  'shards that are no map': [(m) => (m.tasks[0].shards = 'x'), /shards/],
  'metadata that is no text': [(m) => (m.tasks[0].metadata.x = 1), /metadata/],
  'no delta file': [
    (m) => {
      m.tasks[1].files = []
      m.tasks[1].bytes = 0
    },
    /task 'two' needs delta.safetensors/,
  ],
  'kept that the deltas do not keep': [(m) => m.tasks[1].kept--, /keeps 745 entries.*says 744/],
  'fewer elements than the deltas have': [
    (m) => (m.tasks[1].elements = m.tasks[1].kept),
    /has 140000 elements/,
  ],
}

/** Opens the family and all its tasks, and unfolds them. */
async function use(root: string, out: string): Promise<void> {
  const pack = await openPack(root)
  for (const { name } of pack.manifest.tasks) await pack.task(name)
  for (const { name } of pack.manifest.tasks) await materialize(pack, name, join(out, name))
}

async function refused(t: Parameters<typeof tempFolder>[0], hooks: NaiveHooks): Promise<TaskfoldError> {
  const folder = tempFolder(t)
  const root = await naivePack(join(folder, 'family'), sampleFamily(), hooks)
  const error = await t.throwsAsync(use(root, join(folder, 'out')), { instanceOf: TaskfoldError })
  t.deepEqual(readdirSync(folder), ['family'])
  t.is(error.file, join(root, 'family.json'))
  t.false(error.message.includes('\n'))
  return error
}

for (const [name, [edit, message, code = 'PACK_INVALID']] of Object.entries(lies)) {
  test(`family.json with ${name}`, async (t) => {
    const error = await refused(t, { manifest: edit })
    t.is(error.code, code)
    t.regex(error.message, message)
  })
}

const texts: Record<string, (text: string) => string> = {
  'no JSON': () => 'not json',
  'nothing in it': () => '',
  'an array': () => '[]',
  'a repeated key': (text) => text.replace('"tasks":', '"tasks":[],"tasks":'),
  'a text behind it': (text) => `${text}{}`,
  'a nesting without end': () => '['.repeat(1e6),
}

for (const [name, manifestText] of Object.entries(texts)) {
  test(`family.json with ${name} in its text`, async (t) => {
    t.is((await refused(t, { manifestText })).code, 'PACK_INVALID')
  })
}

test('a file of another size, a missing file, a folder instead of a file', async (t) => {
  const folder = tempFolder(t)
  const root = await naivePack(join(folder, 'family'), sampleFamily())
  const file = join(root, 'tasks/one/delta.safetensors')
  writeFileSync(file, 'short')
  const error = await t.throwsAsync(openPack(root), { instanceOf: TaskfoldError })
  t.is(error.code, 'PACK_INVALID')
  t.is(error.file, file)
  const missing = await naivePack(join(folder, 'missing'), sampleFamily(), {
    manifest: (m) => m.tasks[0].files.push({ path: 'tasks/one/vocab.txt', bytes: 0, fingerprint: print }),
  })
  t.is(
    (await t.throwsAsync(openPack(missing), { instanceOf: TaskfoldError })).file,
    join(missing, 'tasks/one/vocab.txt'),
  )
  const nested = await naivePack(join(folder, 'nested'), sampleFamily(), {
    manifest: (m) => m.tasks[0].files.push({ path: 'tasks/one/nested', bytes: 0, fingerprint: print }),
  })
  const directory = await t.throwsAsync(openPack(nested), { instanceOf: TaskfoldError })
  t.regex(directory.message, /no regular file/)
})
