import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { materialize } from '../../lib/materialize/materialize.js'
import { openFamily } from '../../lib/materialize/open-family.js'
import { openPack } from '../../lib/pack/open-pack.js'
import { naivePack, naiveUnfold } from '../helpers/naive-pack.js'
import { sampleFamily } from '../helpers/sample-family.js'
import { tempFolder } from '../helpers/temp-folder.js'

const reader = fileURLToPath(new URL('read_family.py', import.meta.url))
const golden = fileURLToPath(new URL('v1/family', import.meta.url))

type Rows = Record<string, { dtype: string; shape: number[]; sha256: string }>

/** False, with a printed word, where Python or numpy is missing: the product does not need them. */
function hasPython(t: ExecutionContext): boolean {
  if (spawnSync('python3', ['-c', 'import numpy']).status === 0) return true
  t.log('skipped: python3 with numpy is not here')
  t.pass()
  return false
}

function python(...args: string[]) {
  const run = spawnSync('python3', ['-B', reader, ...args], { encoding: 'utf8', maxBuffer: 1 << 26 })
  return { status: run.status, out: run.stdout, err: run.stderr }
}

function sorted<T>(entries: [string, T][]): [string, T][] {
  return entries.sort(([a], [b]) => (a < b ? -1 : 1))
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

/** Every tensor of every task of a family, as the reader and as taskfold give it. */
async function readsTheSame(t: ExecutionContext, root: string): Promise<void> {
  const family = await openFamily(root)
  for (const task of family.tasks) {
    const { status, out, err } = python(root, task)
    t.is(status, 0, err)
    const found: Rows = {}
    for await (const { name, dtype, shape, data } of family.tensors(task)) {
      found[name] = { dtype, shape, sha256: sha256(data) }
    }
    t.deepEqual(sorted(Object.entries(JSON.parse(out) as Rows)), sorted(Object.entries(found)), root)
  }
}

test('an independent reader finds the same tensors in a pack written by hand', async (t) => {
  if (!hasPython(t)) return
  const folder = tempFolder(t)
  const family = sampleFamily()
  const root = await naivePack(join(folder, 'family'), family)
  for (const task of ['one', 'two']) {
    const { status, out, err } = python(root, task)
    t.is(status, 0, err)
    const expected = [...naiveUnfold(family, task).values()].map(({ name, dtype, shape, data }) => [
      name,
      { dtype, shape, sha256: sha256(data) },
    ])
    t.deepEqual(sorted(Object.entries(JSON.parse(out) as Rows)), sorted(expected as [string, Rows[string]][]))
  }
})

test('it agrees with what taskfold unfolds, and sees a changed byte', async (t) => {
  if (!hasPython(t)) return
  const folder = tempFolder(t)
  const root = await naivePack(join(folder, 'family'), sampleFamily())
  const out = await materialize(await openPack(root), 'one', join(folder, 'one'))
  t.is(python(root, 'one', '--against', out.folder).status, 0)
  const other = python(root, 'two', '--against', out.folder)
  t.is(other.status, 1)
  t.regex(other.out, /differs: head/)
})

test('it reads the committed family of format 1 as taskfold does', async (t) => {
  if (!hasPython(t)) return
  await readsTheSame(t, golden)
})

test('it reads the committed families of other sparse codes as taskfold does', async (t) => {
  if (!hasPython(t)) return
  for (const name of ['coded', 'whole', 'sign', 'int4']) {
    await readsTheSame(t, fileURLToPath(new URL(`v1-sparse/${name}`, import.meta.url)))
  }
})

test('it merges the committed LoRA tasks as taskfold does, bit for bit', async (t) => {
  if (!hasPython(t)) return
  for (const name of ['family', 'referred']) {
    await readsTheSame(t, fileURLToPath(new URL(`v1-lora/${name}`, import.meta.url)))
  }
})

test('it finds a base that was moved, when it is told where', async (t) => {
  if (!hasPython(t)) return
  const root = fileURLToPath(new URL('v1-lora/referred', import.meta.url))
  const base = fileURLToPath(new URL('v1-lora/family/base', import.meta.url))
  const family = await openFamily(root)
  const { folder } = await family.materialize('own', join(tempFolder(t), 'own'), { merged: true, base })
  t.is(python(root, 'own', '--base', base, '--against', folder).status, 0)
  t.is(python(root, 'turned', '--base', base, '--against', folder).status, 1)
})

test('the reader stays small, and needs numpy alone', (t) => {
  const imports = readFileSync(reader, 'utf8').match(/^import \w+/gm)
  t.deepEqual(
    imports,
    ['argparse', 'hashlib', 'json', 'os', 're', 'struct', 'sys', 'numpy'].map((name) => `import ${name}`),
  )
  t.true(readdirSync(fileURLToPath(new URL('.', import.meta.url))).includes('v1'))
})
