import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { readCheckpoint } from '../../../lib/checkpoint/open-checkpoint.js'
import { readTensor } from '../../../lib/checkpoint/read-tensor.js'
import { fold } from '../../../lib/fold/fold.js'
import { openAdapter } from '../../../lib/lora/open-adapter.js'
import { loraMerge } from '../../../lib/materialize/lora-merge.js'
import type { LoraMergeOptions } from '../../../lib/materialize/lora-merge-options.js'
import { adapterProducts } from '../../helpers/adapter-products.js'
import { seededRandom } from '../../helpers/random.js'
import { randomFloats } from '../../helpers/random-floats.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { writePeftAdapter } from '../../helpers/write-adapter.js'
import { writeModel } from '../../helpers/write-model.js'
import { decodeFloats } from '../../reference/float-convert.js'
import { frobenius } from '../../reference/low-rank.js'

const LAMBDA = Math.fround(0.3)

async function family(t: ExecutionContext) {
  const folder = tempFolder(t)
  const random = seededRandom(5)
  const weight = (shape: number[]) => {
    const count = shape.reduce((product, extent) => product * extent, 1)
    return { dtype: 'F32', shape, data: randomFloats(random, 'F32', count, 'normal') }
  }
  const tensors = {
    'm.q.weight': weight([12, 8]),
    'm.up.weight': weight([6, 20]),
    'm.norm.weight': weight([8]),
  }
  const files = { 'config.json': '{}', 'tokenizer.json': '{"a":1}' }
  const base = writeModel(join(folder, 'base'), { tensors, files })
  const q = { rows: 12, columns: 8 }
  const up = { rows: 6, columns: 20 }
  const head = { 'base_model.model.head.weight': { dtype: 'F32', shape: [1], data: [1] } }
  writePeftAdapter(join(folder, 'a'), {
    layers: { 'm.q': { ...q, rank: 2 }, 'm.up': { ...up, rank: 2 } },
    seed: 1,
  })
  writePeftAdapter(join(folder, 'b'), { layers: { 'm.q': { ...q, rank: 3 } }, rest: head, seed: 2 })
  const tasks = { a: join(folder, 'a'), b: join(folder, 'b') }
  const sums = new Map<string, Float64Array>()
  for (const path of Object.values(tasks)) {
    for (const [module, product] of await adapterProducts(await openAdapter(path))) {
      const sum = sums.get(module) ?? new Float64Array(product.length)
      sums.set(
        module,
        sum.map((value, i) => value + LAMBDA * product[i]!),
      )
    }
  }
  const output = join(folder, 'merged')
  const run = (options: Partial<LoraMergeOptions> = {}) =>
    loraMerge({ base, tasks, output, sync: false, ...options })
  return { folder, base, tasks, sums, output, run, tensors }
}

test('a checkpoint is θ0 + λ Σ s·B·A, everything else as in the base', async (t) => {
  const { run, output, sums, tensors } = await family(t)
  const result = await run()
  t.is(result.lambda, 0.3)
  t.is(result.modules, 2)
  t.deepEqual(result.tasks, ['a', 'b'])
  const merged = await readCheckpoint(output)
  t.deepEqual([...merged.tensors.keys()], Object.keys(tensors).sort())
  for (const [name, { data }] of Object.entries(tensors)) {
    const found = decodeFloats('F32', (await readTensor(merged, name)).data)
    const before = decodeFloats('F32', data)
    const sum = sums.get(name.replace('.weight', ''))
    if (sum === undefined) t.deepEqual(found, before)
    else
      t.true(
        frobenius(
          found,
          sum.map((value, i) => value + before[i]!),
        ) <
          1e-6 * frobenius(before),
      )
  }
  t.is(readFileSync(join(output, 'tokenizer.json'), 'utf8'), '{"a":1}')
  t.true(result.warnings.some(({ message }) => message.includes('task b')))
})

test('one adapter alone brings its whole modules along', async (t) => {
  const { run, output, tasks } = await family(t)
  await run({ tasks: { b: tasks.b }, lambda: 1 })
  const merged = await readCheckpoint(output)
  t.true(merged.tensors.has('head.weight'))
})

test('an adapter of rank Σr is exact, a lower one is the best of its rank', async (t) => {
  const { run, output, sums } = await family(t)
  const result = await run({ as: 'adapter' })
  const adapter = await openAdapter(output)
  t.deepEqual(
    adapter.layers.map(({ module, rank, scale }) => [module, rank, scale]),
    [
      ['m.q', 5, 1],
      ['m.up', 2, 1],
    ],
  )
  const found = await adapterProducts(adapter)
  for (const [module, sum] of sums) t.true(frobenius(found.get(module)!, sum) < 1e-6 * frobenius(sum))
  t.is(result.adapter?.relativeError, 0)
  const low = await run({ as: 'adapter', rank: 1, force: true })
  const lower = await openAdapter(output)
  t.deepEqual([...new Set(lower.layers.map(({ rank }) => rank))], [1])
  const products = await adapterProducts(lower)
  for (const { module, relativeError } of low.adapter!.layers) {
    const sum = sums.get(module)!
    t.true(Math.abs(frobenius(products.get(module)!, sum) / frobenius(sum) - relativeError) < 1e-5)
  }
})

test('the LoRA tasks of a family merge like the adapters they were made of, the base checked', async (t) => {
  const { run, output, folder, base, tasks } = await family(t)
  const folded = join(folder, 'family')
  await fold({ base, tasks, output: folded, sync: false })
  await run()
  const wanted = readFileSync(join(output, 'model.safetensors'))
  const result = await loraMerge({ family: folded, output, force: true, sync: false })
  t.deepEqual(result.tasks, ['a', 'b'])
  t.deepEqual(readFileSync(join(output, 'model.safetensors')), wanted)
  renameSync(base, join(folder, 'moved'))
  const again = (at?: string) => loraMerge({ family: folded, base: at, output, force: true, sync: false })
  await t.throwsAsync(again(), { code: 'NOT_FOUND' })
  await again(join(folder, 'moved'))
  await t.throwsAsync(loraMerge({ family: folded, tasks, output }), { code: 'INVALID_ARGUMENT' })
  const stored = join(folded, 'tasks/a/adapter_model.safetensors')
  const bytes = readFileSync(stored)
  bytes[bytes.length - 2]! ^= 1
  writeFileSync(stored, bytes)
  await t.throwsAsync(again(join(folder, 'moved')), { code: 'HASH_MISMATCH' })
})

test('wrong options, other bases and adapters that do not fit are refused', async (t) => {
  const { run, output, folder, tasks } = await family(t)
  await t.throwsAsync(run({ rank: 2 }), { code: 'INVALID_ARGUMENT', message: /no rank/ })
  await t.throwsAsync(run({ tasks: {} }), { code: 'INVALID_ARGUMENT' })
  await t.throwsAsync(run({ as: 'gguf' as never }), { code: 'INVALID_ARGUMENT' })
  await t.throwsAsync(run({ lambda: Number.NaN }), { code: 'INVALID_ARGUMENT' })
  const twice = [
    { name: 'a', path: tasks.a },
    { name: 'a', path: tasks.b },
  ]
  await t.throwsAsync(run({ tasks: twice }), { code: 'INVALID_ARGUMENT', message: /twice/ })
  writePeftAdapter(join(folder, 'other'), { layers: { 'm.q': { rows: 4, columns: 4, rank: 1 } } })
  const other = { ...tasks, other: join(folder, 'other') }
  for (const as of ['checkpoint', 'adapter'] as const)
    await t.throwsAsync(run({ tasks: other, as }), { code: 'ADAPTER_INVALID' })
  t.false(existsSync(output))
})
