import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { inspect } from '../../lib/report/inspect.js'
import type { ExactTaskInspection, FamilyInspection } from '../../lib/report/inspection-types.js'
import { verify } from '../../lib/report/verify.js'
import { goldenRows } from './make-golden.js'

const folder = fileURLToPath(new URL('v1', import.meta.url))
const family = join(folder, 'family')

test('the committed family of format 1 still gives the recorded tensors', async (t) => {
  t.deepEqual(await goldenRows(family), JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')))
})

test('it passes verify: fingerprints have not changed their meaning', async (t) => {
  const result = await verify(family)
  t.deepEqual(
    result.tasks.map((task) => task.name),
    ['first', 'second'],
  )
})

test('it holds every kind, both index codes and all floating dtypes, and is small', async (t) => {
  const { tasks } = (await inspect(family, { tensors: true })) as FamilyInspection
  const tensors = (tasks as ExactTaskInspection[]).flatMap((task) => task.tensors!)
  t.deepEqual([...new Set(tensors.map((tensor) => tensor.kind))].sort(), [
    'alias',
    'delta',
    'rows',
    'same',
    'whole',
  ])
  t.deepEqual(new Set(tensors.flatMap((tensor) => tensor.index ?? [])), new Set(['u16', 'bitmap']))
  const deltas = tensors.filter((tensor) => tensor.index !== null).map((tensor) => tensor.dtype)
  t.deepEqual([...new Set(deltas)].sort(), ['BF16', 'F16', 'F32', 'F8_E4M3', 'F8_E5M2'])
  const bytes = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
  t.true(bytes < 30000, `${bytes} bytes`)
})

const sparse = fileURLToPath(new URL('v1-sparse', import.meta.url))

test('the committed families of other sparse codes still give the recorded tensors, and pass verify', async (t) => {
  const expected = JSON.parse(readFileSync(join(sparse, 'expected.json'), 'utf8'))
  const codes = { index: new Set<string>(), values: new Set<string>(), dtypes: new Set<string>() }
  for (const name of Object.keys(expected)) {
    const root = join(sparse, name)
    t.deepEqual(await goldenRows(root), expected[name], name)
    await verify(root)
    const { tasks } = (await inspect(root, { tensors: true })) as FamilyInspection
    for (const tensor of (tasks as ExactTaskInspection[]).flatMap((task) => task.tensors!)) {
      if (tensor.index === null) continue
      codes.index.add(tensor.index)
      codes.values.add(`${tensor.values}`)
      codes.dtypes.add(tensor.dtype)
    }
  }
  t.true(['rice', 'all'].every((code) => codes.index.has(code)))
  t.deepEqual([...codes.values].sort(), ['coded', 'int4', 'sign'])
  t.is(codes.dtypes.size, 5)
  const bytes = readdirSync(sparse, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
  t.true(bytes < 100000, `${bytes} bytes`)
})

const lora = fileURLToPath(new URL('v1-lora', import.meta.url))

test('the committed LoRA families still give the recorded tensors, and pass verify', async (t) => {
  const expected = JSON.parse(readFileSync(join(lora, 'expected.json'), 'utf8'))
  for (const name of ['family', 'referred']) {
    t.deepEqual(await goldenRows(join(lora, name)), expected[name], name)
    const { tasks } = await verify(join(lora, name))
    t.deepEqual(
      tasks.map(({ name, codec }) => [name, codec]),
      [['own', 'lora'], ['turned', 'lora'], ...(name === 'family' ? [['full', 'exact']] : [])],
    )
  }
})

test('they hold every kind of layer, a base of either kind, and are small', async (t) => {
  const copied = (await inspect(join(lora, 'family'))) as FamilyInspection
  const referred = (await inspect(join(lora, 'referred'))) as FamilyInspection
  t.true(copied.base.copiedBytes > 0)
  t.is(referred.base.reference, '../family/base')
  t.is(referred.merged, null)
  const own = await inspect(join(lora, 'referred/tasks/own'))
  t.like(own, {
    kind: 'adapter',
    rest: { length: 2 },
    layers: { 0: { kind: 'conv2d' }, 1: { kind: 'embedding' }, 2: { kind: 'linear' } },
  })
  const bytes = readdirSync(lora, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
  t.true(bytes < 40000, `${bytes} bytes`)
})
