import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { ErrorCode } from '../../lib/errors/error-codes.js'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { fold } from '../../lib/fold/fold.js'
import { materialize } from '../../lib/materialize/materialize.js'
import { taskTensors } from '../../lib/materialize/task-tensors.js'
import { openPack } from '../../lib/pack/open-pack.js'
import { verify } from '../../lib/report/verify.js'
import { loraBase, loraLayers } from '../helpers/lora-models.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { tinySafetensors } from '../helpers/tiny-checkpoint.js'
import { writePeftAdapter } from '../helpers/write-adapter.js'
import { writeModel } from '../helpers/write-model.js'

// biome-ignore lint/suspicious/noExplicitAny: lies have any shape
type Edit = (manifest: any) => void
type Kind = 'pure' | 'copied' | 'mixed'

/** Folded once, copied for every lie. */
const folded = mkdtempSync(join(tmpdir(), 'taskfold-lora-'))

test.before(async () => {
  const files = { 'config.json': '{}' }
  const base = writeModel(join(folded, 'base'), { tensors: loraBase(1), files })
  const full = writeModel(join(folded, 'full'), { tensors: loraBase(2), files })
  const adapter = join(folded, 'adapter')
  writePeftAdapter(adapter, { layers: loraLayers(3), files: { 'README.md': 'hi' } })
  const one = { one: adapter }
  await fold({ base, tasks: one, output: join(folded, 'pure'), rank: 2 })
  await fold({ base, tasks: one, output: join(folded, 'copied'), energy: 0.9, maxRank: 2, copyBase: true })
  await fold({ base, tasks: { ...one, full }, output: join(folded, 'mixed') })
})
test.after.always(() => rmSync(folded, { recursive: true, force: true }))

function family(t: ExecutionContext, kind: Kind): string {
  const folder = tempFolder(t)
  cpSync(join(folded, kind), join(folder, 'family'), { recursive: true })
  cpSync(join(folded, 'base'), join(folder, 'base'), { recursive: true })
  return join(folder, 'family')
}

function edit(root: string, change: Edit): void {
  const path = join(root, 'family.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8'))
  change(manifest)
  writeFileSync(path, JSON.stringify(manifest))
}

/** Opens the family and unfolds all its tasks in every way. */
async function use(root: string, out: string): Promise<void> {
  const pack = await openPack(root)
  for (const { name } of pack.manifest.tasks) {
    for (const merged of [false, true])
      await materialize(pack, name, join(out, `${name}-${merged}`), { merged })
  }
}

/** One lie each: family, edit, what the message says, code. The error names family.json. */
const lies: Record<string, [Kind, Edit, RegExp, ErrorCode?]> = {
  'a codec of a newer release beside strange fields': [
    'pure',
    (m) => {
      m.tasks[0].codec = 'lora2'
      m.method = 'new'
    },
    /codec 'lora2' of task 'one'/,
    'PACK_VERSION',
  ],
  'merged in a family of LoRA tasks': [
    'pure',
    (m) => (m.merged = { bytes: 0, files: [], tensors: {} }),
    /merged must be absent/,
  ],
  'merged null': ['pure', (m) => (m.merged = null), /merged must be absent/],
  'no merged in a mixed family': ['mixed', (m) => delete m.merged, /merged must be an object/],
  'λ without θ*': ['pure', (m) => (m.method.lambda = 0.3), /method.lambda must be absent/],
  'a merge without θ*': ['pure', (m) => (m.method.merge = 'task-arithmetic'), /method.merge must be absent/],
  'no merge in a mixed family': ['mixed', (m) => delete m.method.merge, /method.merge/],
  'no lora method': ['pure', (m) => delete m.method.lora, /method.lora must be an object/],
  'no lora method in a mixed family': ['mixed', (m) => delete m.method.lora, /method.lora must be an object/],
  'a lora method without LoRA tasks': ['mixed', (m) => m.tasks.shift(), /method.lora must be absent/],
  'no rule': ['pure', (m) => delete m.method.lora.rule, /lora.rule must be an object/],
  'an unknown rule': ['pure', (m) => (m.method.lora.rule.kind = 'constructor'), /rule.kind/],
  'rank 0': ['pure', (m) => (m.method.lora.rule.rank = 0), /rule.rank/],
  'a share above 1': ['copied', (m) => (m.method.lora.rule.share = 2), /rule.share/],
  'maxRank that is no number': ['copied', (m) => (m.method.lora.maxRank = '2'), /lora.maxRank/],
  'no fingerprint of the base': ['pure', (m) => delete m.base.fingerprint, /base.fingerprint/],
  'a base fingerprint that is none': ['pure', (m) => (m.base.fingerprint = 'x'), /base.fingerprint/],
  'no word about where the base is': [
    'pure',
    (m) => delete m.base.reference,
    /base.reference must be a string/,
  ],
  'a reference beside base/': [
    'copied',
    (m) => (m.base.reference = '../base'),
    /base.reference must be absent/,
  ],
  'a reference without LoRA tasks': [
    'mixed',
    (m) => {
      m.tasks.shift()
      delete m.method.lora
    },
    /base.reference must be absent/,
  ],
  'an absolute reference': ['pure', (m) => (m.base.reference = '/etc'), /base.reference/],
  'a reference into the family': ['pure', (m) => (m.base.reference = 'tasks/one/x'), /base.reference/],
  'a reference that turns back': ['pure', (m) => (m.base.reference = '../a/../../b'), /base.reference/],
  'a reference with a NUL': ['pure', (m) => (m.base.reference = '../a\0b'), /base.reference/],
  'a reference with a backslash': ['pure', (m) => (m.base.reference = '..\\a'), /base.reference/],
  'an endless reference': ['pure', (m) => (m.base.reference = `../${'a/'.repeat(4000)}b`), /base.reference/],
  'a repository with a path in its revision': [
    'pure',
    (m) => (m.base.reference = 'org/name@../../x'),
    /base.reference/,
  ],
  'base files outside base/': ['copied', (m) => (m.base.files[0].path = 'tasks/one/x'), /files\[0\].path/],
  'base files that lead out': ['copied', (m) => (m.base.files[0].path = 'base/../../x'), /files\[0\].path/],
  'pickled weights in base/': [
    'copied',
    (m) => (m.base.files[0].path = 'base/pytorch_model.bin'),
    /pytorch_model.bin/,
  ],
  'base files that are no array': ['copied', (m) => (m.base.files = {}), /base.files/],
  'an unlisted shard of the base': [
    'copied',
    (m) =>
      (m.base.files = m.base.files.filter(({ path }: { path: string }) => !path.endsWith('.safetensors'))),
    /does not list base\/model.safetensors/,
  ],
  'no layers': ['pure', (m) => (m.tasks[0].layers = []), /layers must be a list with at least one/],
  'layers that are no array': ['pure', (m) => (m.tasks[0].layers = 'q'), /layers must be an array/],
  'a layer twice': [
    'pure',
    (m) => m.tasks[0].layers.push(m.tasks[0].layers.at(-1)),
    /layers must be in bytewise order/,
  ],
  'layers out of order': ['pure', (m) => m.tasks[0].layers.reverse(), /layers must be in bytewise order/],
  'a module that is no text': ['pure', (m) => (m.tasks[0].layers[0].module = 1), /layers\[0\].module/],
  'a module without a name': ['pure', (m) => (m.tasks[0].layers[0].module = ''), /layers\[0\].module/],
  'a layer of rank 0': ['pure', (m) => (m.tasks[0].layers[0].rank = 0), /layers\[0\].rank/],
  'a layer of rank 1.5': ['pure', (m) => (m.tasks[0].layers[0].rank = 1.5), /layers\[0\].rank/],
  'an original rank of 0': [
    'pure',
    (m) => (m.tasks[0].layers[0].originalRank = 0),
    /layers\[0\].originalRank/,
  ],
  'energy above 1': ['pure', (m) => (m.tasks[0].layers[0].retainedEnergy = 1.01), /retainedEnergy/],
  'energy NaN': ['pure', (m) => (m.tasks[0].layers[0].retainedEnergy = null), /retainedEnergy/],
  'a negative error': ['pure', (m) => (m.tasks[0].layers[0].relativeError = -0.1), /relativeError/],
  'a rank that no layer has': [
    'pure',
    (m) => (m.tasks[0].rank = 3),
    /rank must be the largest rank of its layers \(2\)/,
  ],
  'a missing layer': [
    'pure',
    (m) => m.tasks[0].layers.pop(),
    /has 4 layers in adapter_model.safetensors, not 3/,
  ],
  'another module': [
    'pure',
    (m) => (m.tasks[0].layers[3].module = 'z'),
    /lists module "z", but has "model.l0.square"/,
  ],
  'another rank than the factors have': [
    'pure',
    (m) => {
      for (const layer of m.tasks[0].layers) layer.rank = 5
      m.tasks[0].rank = 5
    },
    /module "model.conv" has rank 2, not 5/,
  ],
  'no weights': [
    'pure',
    (m) => {
      const { files } = m.tasks[0]
      m.tasks[0].files = files.filter(({ path }: { path: string }) => !path.endsWith('.safetensors'))
      m.tasks[0].bytes = m.tasks[0].files.reduce(
        (sum: number, { bytes }: { bytes: number }) => sum + bytes,
        0,
      )
    },
    /does not list tasks\/one\/adapter_model.safetensors/,
  ],
  'other weights': [
    'pure',
    (m) => (m.tasks[0].files[0].path = 'tasks/one/adapter_model.bin'),
    /adapter_model.bin is no file/,
  ],
  'bytes that are no sum': ['pure', (m) => m.tasks[0].bytes++, /tasks\[0\].bytes/],
  'negative original bytes': ['pure', (m) => (m.tasks[0].originalBytes = -1), /originalBytes/],
}

for (const [name, [kind, change, message, code = 'PACK_INVALID']] of Object.entries(lies)) {
  test(`family.json with ${name}`, async (t) => {
    const root = family(t, kind)
    edit(root, change)
    const error = await t.throwsAsync(use(root, join(root, '..', 'out')), { instanceOf: TaskfoldError })
    t.is(error.code, code, error.message)
    t.regex(error.message, message)
    t.is(error.file, join(root, 'family.json'))
    t.false(error.message.includes('\n'))
    t.deepEqual(readdirSync(join(root, '..')).sort(), ['base', 'family'])
  })
}

test('honest families of all three kinds are used without an error', async (t) => {
  for (const kind of ['pure', 'copied', 'mixed'] as const) {
    const root = family(t, kind)
    await t.notThrowsAsync(use(root, join(root, '..', 'out')))
    await t.notThrowsAsync(verify(root))
  }
})

test('a fingerprint that is another model’s is noticed before anything is left', async (t) => {
  for (const kind of ['pure', 'copied'] as const) {
    const root = family(t, kind)
    edit(root, (m) => (m.base.fingerprint = '0'.repeat(32)))
    const pack = await openPack(root)
    const error = await t.throwsAsync(materialize(pack, 'one', join(root, '..', 'out'), { merged: true }), {
      instanceOf: TaskfoldError,
    })
    t.is(error.code, 'HASH_MISMATCH')
    t.deepEqual(readdirSync(join(root, '..')).sort(), ['base', 'family'])
    const checked = await t.throwsAsync(
      verify(root).then(() => (kind === 'pure' ? Promise.reject(error) : null)),
    )
    t.regex(checked!.message, /not those of base/)
  }
})

test('a missing base/ and a missing shard of it', async (t) => {
  const root = family(t, 'copied')
  rmSync(join(root, 'base', 'model.safetensors'))
  const error = await t.throwsAsync(openPack(root), { instanceOf: TaskfoldError })
  t.is(error.code, 'PACK_INVALID')
  t.is(error.file, join(root, 'base/model.safetensors'))
  rmSync(join(root, 'base'), { recursive: true })
  t.is((await t.throwsAsync(openPack(root), { instanceOf: TaskfoldError })).code, 'PACK_INVALID')
  const report = await t.throwsAsync(verify(root), { instanceOf: TaskfoldError })
  t.is(report.code, 'VERIFY_FAILED')
})

test('a reference that leads to no checkpoint is a base that is not there', async (t) => {
  const root = family(t, 'pure')
  for (const reference of ['..', '../nowhere', '../base/config.json', 'org/none@main']) {
    edit(root, (m) => (m.base.reference = reference))
    const error = await t.throwsAsync(
      materialize(await openPack(root), 'one', join(root, '..', 'out'), { merged: true, cacheDir: root }),
      { instanceOf: TaskfoldError },
    )
    t.is(error.code, 'NOT_FOUND', reference)
    t.regex(error.hint!, /--base PATH/)
  }
})

test('a file of the adapter that was changed in its place is refused', async (t) => {
  const root = family(t, 'pure')
  const path = join(root, 'tasks/one/adapter_model.safetensors')
  const bytes = readFileSync(path)
  bytes[bytes.length - 1]! ^= 1
  writeFileSync(path, bytes)
  const pack = await openPack(root)
  for (const merged of [false, true]) {
    const error = await t.throwsAsync(materialize(pack, 'one', join(root, '..', 'out'), { merged }), {
      instanceOf: TaskfoldError,
    })
    t.is(error.code, 'HASH_MISMATCH')
    t.is(error.file, path)
  }
  const streamed = await t.throwsAsync(taskTensors(pack, 'one').next(), { instanceOf: TaskfoldError })
  t.is(streamed.code, 'HASH_MISMATCH')
  t.deepEqual(readdirSync(join(root, '..')).sort(), ['base', 'family'])
})

test('stray weights beside the copied base are not used', async (t) => {
  const root = family(t, 'copied')
  const index = { metadata: {}, weight_map: { evil: 'evil.safetensors' } }
  writeFileSync(join(root, 'base/model.safetensors.index.json'), JSON.stringify(index))
  const evil = { evil: { dtype: 'F32', shape: [1], data: [1] } }
  writeFileSync(join(root, 'base/evil.safetensors'), tinySafetensors({ tensors: evil }))
  const error = await t.throwsAsync(openPack(root), { instanceOf: TaskfoldError })
  t.is(error.code, 'PACK_INVALID')
  t.regex(error.message, /does not list base\/evil.safetensors/)
})
