import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { inspect } from '../../lib/report/inspect.js'
import type { FamilyInspection } from '../../lib/report/inspection-types.js'
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
  const tensors = tasks.flatMap((task) => task.tensors!)
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
