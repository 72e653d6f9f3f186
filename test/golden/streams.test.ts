import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { verify } from '../../lib/report/verify.js'
import { type GoldenRows, goldenRows } from './make-golden.js'

const folder = fileURLToPath(new URL('v1-streams', import.meta.url))
const reader = fileURLToPath(new URL('read_family.py', import.meta.url))
const expected: Record<string, Record<string, GoldenRows>> = JSON.parse(
  readFileSync(join(folder, 'expected.json'), 'utf8'),
)

test('the committed families of codec step still give the recorded tensors, and pass verify', async (t) => {
  t.deepEqual(Object.keys(expected), ['coarse', 'fine'])
  for (const family of Object.keys(expected)) {
    t.deepEqual(await goldenRows(join(folder, family)), expected[family])
    const { tasks } = await verify(join(folder, family))
    t.deepEqual(
      tasks.map((task) => task.name),
      ['first', 'second'],
    )
  }
})

test('they hold what the format says of streams, and are small', (t) => {
  for (const family of Object.keys(expected)) {
    const { tasks } = JSON.parse(readFileSync(join(folder, family, 'family.json'), 'utf8'))
    for (const task of tasks) {
      t.is(task.codec, 'step')
      t.deepEqual(Object.keys(task.loss).sort(), ['bits', 'relativeError', 'step'])
    }
    const file = readFileSync(join(folder, family, 'tasks/second/delta.safetensors'))
    const header = JSON.parse(file.toString('utf8', 8, 8 + Number(file.readBigUInt64LE())))
    const delta = JSON.parse(header.__metadata__.taskfold)
    t.deepEqual(delta.absent, ['positions'])
    t.is(delta.tensors['embed.weight'].kind, 'rows')
    t.false('kept' in delta.tensors['embed.weight'])
    t.false('layer.weight' in delta.tensors)
  }
  const bytes = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
  t.true(bytes < 110000, `${bytes} bytes`)
})

test('an independent reader finds the same tensors in them', (t) => {
  if (spawnSync('python3', ['-c', 'import numpy']).status !== 0) {
    t.log('skipped: python3 with numpy is not here')
    t.pass()
    return
  }
  for (const [family, tasks] of Object.entries(expected)) {
    for (const [task, rows] of Object.entries(tasks)) {
      const run = spawnSync('python3', ['-B', reader, join(folder, family), task], { encoding: 'utf8' })
      t.is(run.status, 0, run.stderr)
      t.deepEqual(JSON.parse(run.stdout), rows, `${family}, ${task}`)
    }
  }
})

test('the second module of the reader needs numpy alone', (t) => {
  const source = readFileSync(fileURLToPath(new URL('read_streams.py', import.meta.url)), 'utf8')
  t.deepEqual(source.match(/^(import|from) \w+/gm), ['import numpy'])
})
