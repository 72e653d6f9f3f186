import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  fold,
  inspect,
  openFamily,
  readCheckpoint,
  readTensor,
  type TaskInput,
  verify,
} from '../../lib/index.js'
import { seededRandom } from '../helpers/random.js'
import { tempFolder } from '../helpers/temp-folder.js'
import type { TinyTensor } from '../helpers/tiny-checkpoint.js'
import { type TinyModel, writeModel } from '../helpers/write-model.js'
import { readEveryFile, readPlainCheckpoint, readPlainFile } from '../property/read-folder.js'

const random = seededRandom(2026)

function floats(shape: number[], dtype = 'F32'): TinyTensor {
  const elements = shape.reduce((product, extent) => product * extent, 1)
  const values = Float32Array.from({ length: elements }, () => random.normal())
  const bits = new Uint32Array(values.buffer)
  if (dtype === 'F32') return { dtype, shape, data: new Uint8Array(values.buffer) }
  if (dtype === 'BF16')
    return { dtype, shape, data: new Uint8Array(Uint16Array.from(bits, (b) => b >>> 16).buffer) }
  if (dtype === 'F16')
    return { dtype, shape, data: new Uint8Array(Uint16Array.from(bits, (b) => b & 0x3bff).buffer) }
  return { dtype, shape, data: Uint8Array.from(bits, (b) => b & 0x3f) }
}

interface Written {
  folder: string
  base: string
  tasks: TaskInput[]
}

function write(t: ExecutionContext, base: TinyModel, tasks: Record<string, TinyModel>): Written {
  const folder = tempFolder(t)
  return {
    folder,
    base: writeModel(join(folder, 'base'), base),
    tasks: Object.entries(tasks).map(([name, model]) => ({
      name,
      path: writeModel(join(folder, name), model),
    })),
  }
}

/** Base and two tasks with everything that can differ between models. */
function mixed(): [TinyModel, Record<string, TinyModel>] {
  const shared = () => ({
    'a.weight': floats([70, 40]),
    'b.weight': floats([3, 1000], 'BF16'),
    'c.weight': floats([999], 'F16'),
    'd.weight': floats([64], 'F8_E4M3'),
    'e.weight': floats([5], 'F8_E5M2'),
    scalar: floats([]),
    empty: floats([0, 3]),
    __proto__x: floats([2]),
  })
  const ids = (last: number): TinyTensor => ({ dtype: 'I64', shape: [3], data: [1, 2, last] })
  return [
    {
      shards: {
        'model-00001-of-00002.safetensors': { ...shared(), table: floats([10, 4], 'BF16') },
        'model-00002-of-00002.safetensors': {
          ids: ids(3),
          pooler: floats([6]),
          double: { dtype: 'F64', shape: [1], data: [0.5] },
        },
      },
      files: { 'config.json': '{"model_type":"tiny"}', 'tokenizer.json': '{}', 'nested/extra.json': '1' },
    },
    {
      one: {
        tensors: {
          ...shared(),
          table: floats([12, 4], 'BF16'),
          ids: ids(3),
          head: floats([2, 7]),
          double: { dtype: 'F64', shape: [1], data: [0.25] },
        },
        metadata: { format: 'pt', note: 'by hand' },
        files: { 'config.json': '{"model_type":"tiny","labels":2}', 'tokenizer.json': '{}' },
      },
      two: {
        shards: {
          'model-00001-of-00002.safetensors': { ...shared(), ids: ids(9) },
          'model-00002-of-00002.safetensors': {
            table: floats([10, 4], 'BF16'),
            pooler: floats([6]),
            'own.head': floats([3]),
          },
        },
        files: { 'config.json': '{"model_type":"tiny"}', 'vocab.txt': 'x' },
      },
    },
  ]
}

async function assertOriginals(
  t: ExecutionContext,
  { folder, tasks }: Written,
  family: string,
): Promise<void> {
  const opened = await openFamily(family)
  for (const { name, path } of tasks) {
    const out = join(folder, 'unfolded', name)
    await opened.materialize(name, out)
    const [made, original] = [readPlainCheckpoint(out).tensors, readPlainCheckpoint(path).tensors]
    t.deepEqual([...made.keys()].sort(), [...original.keys()].sort(), name)
    for (const [tensor, { dtype, shape, data }] of original) {
      const found = made.get(tensor)!
      t.deepEqual([found.dtype, found.shape], [dtype, shape], `${name} ${tensor}`)
      t.true(Buffer.from(data).equals(Buffer.from(found.data)), `${name} ${tensor}`)
    }
    const others = (at: string) =>
      [...readEveryFile(at)]
        .filter(([file]) => !/safetensors/.test(file))
        .map(([file, bytes]) => [file, bytes.toString()])
    t.deepEqual(others(out), others(path), `other files of ${name}`)
  }
}

for (const scope of ['global', 'tensor'] as const) {
  for (const rows of ['whole', 'prefix'] as const) {
    test(`density 1 gives every original back bit for bit: scope ${scope}, rows ${rows}`, async (t) => {
      const written = write(t, ...mixed())
      const family = join(written.folder, 'family')
      const result = await fold({ ...written, output: family, density: 1, scope, rows })
      t.is(result.tasks[0]!.kept, result.tasks[0]!.elements)
      t.is(result.resumed, null)
      await assertOriginals(t, written, family)
      const against = Object.fromEntries(written.tasks.map(({ name, path }) => [name, path]))
      const verified = await verify(family, { against })
      t.deepEqual(
        verified.tasks.map((task) => task.against!.exact),
        [true, true],
      )
    })
  }
}

test('density 0 gives θ*, and heads, integers and new rows all the same', async (t) => {
  const written = write(t, ...mixed())
  const family = join(written.folder, 'family')
  await fold({ ...written, output: family, density: 0, rows: 'prefix' })
  const merged = readPlainCheckpoint(join(family, 'merged')).tensors
  const out = join(written.folder, 'out')
  await (await openFamily(family)).materialize('one', out)
  const [made, original] = [
    readPlainCheckpoint(out).tensors,
    readPlainCheckpoint(written.tasks[0]!.path).tensors,
  ]
  for (const name of ['a.weight', 'b.weight', 'c.weight', 'd.weight', 'e.weight', 'scalar']) {
    t.deepEqual(made.get(name)!.data, merged.get(name)!.data, name)
  }
  for (const name of ['head', 'ids', 'double'])
    t.deepEqual(made.get(name)!.data, original.get(name)!.data, name)
  const rowBytes = 8
  t.deepEqual(made.get('table')!.data.slice(0, 10 * rowBytes), merged.get('table')!.data, 'folded rows')
  t.deepEqual(
    made.get('table')!.data.slice(10 * rowBytes),
    original.get('table')!.data.slice(10 * rowBytes),
    'new rows',
  )
})

test('merged/ has the base’s tensors, shards, files and untouched bytes', async (t) => {
  const written = write(t, ...mixed())
  const family = join(written.folder, 'family')
  await fold({ ...written, output: family })
  const base = readPlainCheckpoint(written.base)
  const merged = readPlainCheckpoint(join(family, 'merged'))
  t.deepEqual([...merged.files].sort(), [...base.files].sort())
  for (const name of ['ids', 'pooler', 'double', 'table']) {
    t.deepEqual(merged.tensors.get(name)!.data, base.tensors.get(name)!.data, name)
  }
  t.is(readFileSync(join(family, 'merged', 'nested', 'extra.json'), 'utf8'), '1')
  t.is(readPlainFile(join(family, 'merged', 'model-00001-of-00002.safetensors')).metadata.format, 'pt')
  t.deepEqual(readdirSync(join(family, 'tasks', 'two')).sort(), ['delta.safetensors', 'vocab.txt'])
  t.deepEqual(readdirSync(family).sort(), ['family.json', 'merged', 'tasks'])
})

test('λ = 0 merges to the base, and one task with λ = 1 to that task', async (t) => {
  const written = write(t, { tensors: { w: floats([500]) } }, { one: { tensors: { w: floats([500]) } } })
  for (const [lambda, expected] of [
    [0, written.base],
    [1, written.tasks[0]!.path],
  ] as const) {
    const output = join(written.folder, `family-${lambda}`)
    await fold({ ...written, output, lambda, density: 0 })
    const [found, wanted] = [join(output, 'merged'), expected].map(
      (at) => readPlainCheckpoint(at).tensors.get('w')!.data,
    )
    const near = new Float32Array(found!.buffer.slice(found!.byteOffset, found!.byteOffset + 2000))
    const far = new Float32Array(wanted!.buffer.slice(wanted!.byteOffset, wanted!.byteOffset + 2000))
    // λ = 1: (θt − θ0) is rounded once before θ0 is added back.
    t.true(near.every((value, i) => Math.abs(value - far[i]!) <= (lambda === 0 ? 0 : 1e-6)))
  }
})

test('tied tables are stored once and come back in every task that has them', async (t) => {
  const files = { 'config.json': '{"tie_word_embeddings":true}' }
  const model = (names: string[], table: TinyTensor): TinyModel => ({
    tensors: Object.fromEntries([...names.map((name) => [name, table]), ['q', floats([6, 3])]]) as Record<
      string,
      TinyTensor
    >,
    files,
  })
  const both = ['lm_head.weight', 'wte.weight']
  const written = write(t, model(both, floats([9, 3])), {
    one: model(both, floats([9, 3])),
    two: model(['wte.weight'], floats([9, 3])),
  })
  const output = join(written.folder, 'family')
  const result = await fold({ ...written, output, density: 1 })
  t.is(result.tasks[0]!.elements, 27 + 18)
  await assertOriginals(t, written, output)
  const found = await inspect(output, { tensors: true })
  t.like(found, { kind: 'family', tasks: { 0: { kinds: { alias: 1 } } } })
  const merged = readPlainCheckpoint(join(output, 'merged')).tensors
  t.deepEqual(merged.get('lm_head.weight')!.data, merged.get('wte.weight')!.data)
})

test('tables that only look tied are folded as two', async (t) => {
  const files = { 'config.json': '{"tie_word_embeddings":true}' }
  const table = floats([400, 3])
  const other = { ...table, data: Uint8Array.from(table.data as Uint8Array) }
  // Not among the bytes that preflight looks at.
  other.data[1200] = other.data[1200]! ^ 1
  const written = write(
    t,
    { tensors: { a: table, b: table }, files },
    { one: { tensors: { a: table, b: other }, files } },
  )
  const output = join(written.folder, 'family')
  t.is((await fold({ ...written, output, density: 1 })).tasks[0]!.elements, 2400)
  await assertOriginals(t, written, output)
})

test('single files fold too, and their names do not matter', async (t) => {
  const written = write(t, { tensors: { w: floats([10]) } }, { one: { tensors: { w: floats([10]) } } })
  const file = (folder: string) => join(folder, 'model.safetensors')
  const output = join(written.folder, 'family')
  await fold({ base: file(written.base), tasks: { one: file(written.tasks[0]!.path) }, output })
  t.true(existsSync(join(output, 'merged', 'model.safetensors')))
  const merged = await readCheckpoint(join(output, 'merged'))
  t.is((await readTensor(merged, 'w')).data.length, 40)
})

test('threads do not change a byte', async (t) => {
  const written = write(t, ...mixed())
  const trees = []
  for (const threads of [1, 2, 5]) {
    const output = join(written.folder, `family-${threads}`)
    await fold({ ...written, output, threads, density: 0.07 })
    trees.push(readEveryFile(output))
  }
  for (const tree of trees.slice(1)) t.deepEqual(tree, trees[0])
})

test('predictions are upper bounds', async (t) => {
  const written = write(t, ...mixed())
  const { planFold } = await import('../../lib/index.js')
  for (const scope of ['global', 'tensor'] as const) {
    for (const density of [0, 0.003, 0.1, 0.6, 1]) {
      for (const index of ['auto', 'u16', 'bitmap', 'rice'] as const) {
        const output = join(written.folder, `${scope}-${density}-${index}`)
        const options = { ...written, output, scope, density, index, rows: 'prefix' as const }
        const plan = await planFold(options)
        const result = await fold(options)
        for (const [i, task] of result.tasks.entries()) {
          t.true(
            task.bytes <= plan.predicted.tasks[i]!.bytes,
            `${output}: ${task.bytes} > ${plan.predicted.tasks[i]!.bytes}`,
          )
        }
        t.true(result.mergedBytes <= plan.predicted.mergedBytes)
        t.true(result.totals.bytes <= plan.predicted.totalBytes)
      }
    }
  }
})

test('progress counts up to the end of every phase', async (t) => {
  const written = write(t, ...mixed())
  const ends = new Map<string, boolean>()
  await fold({
    ...written,
    output: join(written.folder, 'family'),
    onProgress({ phase, bytesDone, bytesTotal }) {
      t.true(bytesDone <= bytesTotal, phase)
      ends.set(phase, bytesDone === bytesTotal)
    },
  })
  t.deepEqual(
    [...ends.values()],
    [...ends.values()].map(() => true),
  )
  for (const phase of ['read headers', 'merge', 'write deltas']) t.true(ends.has(phase), phase)
})

test('tables of different heights and dtypes: the base’s last rows stay, new rows are converted', async (t) => {
  const written = write(
    t,
    { tensors: { table: floats([12, 4], 'BF16') } },
    {
      short: { tensors: { table: floats([10, 4]) } },
      same: { tensors: { table: floats([12, 4], 'BF16') } },
      long: { tensors: { table: floats([15, 4]) } },
    },
  )
  for (const dtype of ['keep', 'f32'] as const) {
    const output = join(written.folder, `family-${dtype}`)
    const result = await fold({ ...written, output, density: 1, rows: 'prefix', dtype })
    t.deepEqual(
      result.tasks.map(({ kept }) => kept),
      [40, 40, 40],
    )
    const against = Object.fromEntries(written.tasks.map(({ name, path }) => [name, path]))
    const verified = await verify(output, { against })
    t.deepEqual(
      verified.tasks.map((task) => task.against!.differing),
      [0, 0, 0],
    )
    const heights = { short: 10, same: 12, long: 15 }
    const family = await openFamily(output)
    for (const [task, rows] of Object.entries(heights)) {
      t.deepEqual((await family.tensor('table', { task })).shape, [rows, 4])
    }
    const [base, merged] = [written.base, join(output, 'merged')].map(
      (at) => readPlainCheckpoint(at).tensors.get('table')!,
    )
    t.deepEqual(merged!.shape, [12, 4])
    const last = (bytes: Uint8Array) => Buffer.from(bytes.subarray((bytes.length / 12) * 10))
    const expected = dtype === 'keep' ? last(base!.data) : widened(last(base!.data))
    t.deepEqual(last(merged!.data), expected)
  }
})

/** bf16 as f32: the same bits above sixteen zeros. */
function widened(bytes: Buffer): Buffer {
  return Buffer.concat(
    Array.from({ length: bytes.length / 2 }, (_, i) => Buffer.from([0, 0, bytes[2 * i]!, bytes[2 * i + 1]!])),
  )
}
