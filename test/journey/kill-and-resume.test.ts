import { spawn } from 'node:child_process'
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type FoldOptions, fold } from '../../lib/index.js'
import { seededRandom } from '../helpers/random.js'
import { FOLD_CHILD, runFoldChild } from '../helpers/run-fold-child.js'
import { tempFolder } from '../helpers/temp-folder.js'
import type { TinyTensor } from '../helpers/tiny-checkpoint.js'
import { treeDigest } from '../helpers/tree-digest.js'
import { writeModel } from '../helpers/write-model.js'

/** More than two merge batches of 256. */
const TENSORS = 600
/** Plan, three merge batches, thresholds, copies, two shards, three emit batches and a file for each of two tasks. */
const RECORDS = 1 + 3 + 1 + 1 + 2 + 2 * (3 + 1)

function family(t: ExecutionContext): FoldOptions & { folder: string } {
  const folder = tempFolder(t)
  const random = seededRandom(9)
  const tensors = (): Record<string, TinyTensor> =>
    Object.fromEntries(
      Array.from({ length: TENSORS }, (_, i) => {
        const data = Float32Array.from({ length: 40 + (i % 7) }, () => random.normal())
        return [`t${i}`, { dtype: 'F32', shape: [data.length], data: new Uint8Array(data.buffer) }]
      }),
    )
  const ids: TinyTensor = { dtype: 'I64', shape: [1], data: [4] }
  const base = writeModel(join(folder, 'base'), {
    shards: { 'model-00001-of-00002.safetensors': tensors(), 'model-00002-of-00002.safetensors': { ids } },
    files: { 'config.json': '{}' },
  })
  const tasks = ['one', 'two'].map((name) => ({
    name,
    path: writeModel(join(folder, name), {
      tensors: { ...tensors(), ids, head: ids },
      files: { 'config.json': JSON.stringify({ name }) },
    }),
  }))
  return { folder, base, tasks, output: join(folder, 'family'), density: 0.05 }
}

/** What a killed fold leaves: everything under one name beside the output, and its lock. */
function partial({ output }: FoldOptions): string[] {
  return readdirSync(dirname(output)).filter((name) => name.startsWith('family'))
}

for (const scope of ['global', 'tensor'] as const) {
  test(`killed at any step, the next run goes on and gives the same bytes: scope ${scope}`, async (t) => {
    const options = { ...family(t), scope }
    const expected = join(options.folder, 'undisturbed')
    await fold({ ...options, output: expected })
    const wanted = treeDigest(expected)
    const steps = scope === 'global' ? [1, -4, 5, -6, -11, RECORDS] : [300, -601, 900]
    for (const step of steps) {
      const { killed } = await runFoldChild(options, step)
      t.true(killed, `step ${step}`)
      t.false(existsSync(options.output), `nothing under the final name after step ${step}`)
      const { resumed } = await fold(options)
      t.deepEqual(partial(options), ['family'], `step ${step}`)
      t.deepEqual(treeDigest(options.output), wanted, `step ${step}`)
      if (Math.abs(step) > 2) t.true(resumed!.batchesSkipped > 0, `step ${step}: ${JSON.stringify(resumed)}`)
      rmSync(options.output, { recursive: true })
    }
  })
}

test('what is finished is not done again', async (t) => {
  const options = family(t)
  const skipped = []
  for (const step of [2, 3, 5, 10, RECORDS]) {
    await runFoldChild(options, step)
    skipped.push((await fold(options)).resumed!.batchesSkipped)
    rmSync(options.output, { recursive: true })
  }
  // After the second record a batch is merged, but its counts were not saved yet.
  t.deepEqual(skipped, [0, 1, 3, 5, 9])
})

test('killed again and again, it still arrives', async (t) => {
  const options = family(t)
  const expected = join(options.folder, 'undisturbed')
  await fold({ ...options, output: expected })
  let runs = 0
  // Every run gets a few records further.
  for (
    let outcome = await runFoldChild(options, 4);
    outcome.killed;
    outcome = await runFoldChild(options, 4)
  ) {
    runs += 1
    if (runs > RECORDS) return t.fail('no progress')
  }
  t.deepEqual(treeDigest(options.output), treeDigest(expected))
})

test('other options or other inputs start afresh', async (t) => {
  const options = family(t)
  await runFoldChild(options, 8)
  const changed = { ...options, density: 0.2 }
  const expected = join(options.folder, 'undisturbed')
  await fold({ ...changed, output: expected })
  t.is((await fold(changed)).resumed, null)
  t.deepEqual(treeDigest(options.output), treeDigest(expected))
  rmSync(options.output, { recursive: true })

  await runFoldChild(options, 8)
  const file = join(options.folder, 'one', 'model.safetensors')
  utimesSync(file, new Date(0), new Date(0))
  t.is((await fold(options)).resumed, null)
})

test('threads may change between the runs', async (t) => {
  const options = family(t)
  const expected = join(options.folder, 'undisturbed')
  await fold({ ...options, output: expected })
  await runFoldChild({ ...options, threads: 1 }, 3)
  t.true((await fold({ ...options, threads: 3 })).resumed!.batchesSkipped > 0)
  t.deepEqual(treeDigest(options.output), treeDigest(expected))
})

test('a partial folder that lost bytes (a power cut) is not built upon', async (t) => {
  const options = family(t)
  const expected = join(options.folder, 'undisturbed')
  await fold({ ...options, output: expected })
  const harm: [number, string, (path: string) => void][] = [
    [4, 'merged/model-00001-of-00002.safetensors', (path) => flip(path, statSync(path).size - 100)],
    [5, '.taskfold-selection', (path) => flip(path, 5000)],
    [10, 'tasks/one/delta.safetensors', (path) => truncateSync(path, statSync(path).size - 8)],
    [9, '.taskfold-journal', (path) => truncateSync(path, statSync(path).size - 3)],
  ]
  for (const [step, name, change] of harm) {
    await runFoldChild(options, step)
    change(join(`${options.output}.partial`, name))
    await fold(options)
    t.deepEqual(treeDigest(options.output), treeDigest(expected), name)
    rmSync(options.output, { recursive: true })
  }
})

test('killed at random moments', async (t) => {
  const options = family(t)
  const expected = join(options.folder, 'undisturbed')
  await fold({ ...options, output: expected })
  for (const delay of [350, 500, 650]) {
    const args = ['--import=tsx', FOLD_CHILD, JSON.stringify(options)]
    const process = spawn(globalThis.process.execPath, args, { stdio: 'ignore' })
    const ended = new Promise((resolve) => process.on('close', resolve))
    setTimeout(() => process.kill('SIGKILL'), delay)
    await ended
    // A child that was done before the kill has written the family.
    if (existsSync(options.output)) rmSync(options.output, { recursive: true })
    await fold(options)
    t.deepEqual(treeDigest(options.output), treeDigest(expected))
    rmSync(options.output, { recursive: true })
  }
})

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at] = bytes[at]! ^ 0x55
  writeFileSync(path, bytes)
}
