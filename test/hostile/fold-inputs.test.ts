import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type FoldOptions, fold, openFamily, TaskfoldError, verify } from '../../lib/index.js'
import { tempFolder } from '../helpers/temp-folder.js'
import type { TinyFile, TinyTensor } from '../helpers/tiny-checkpoint.js'
import { treeDigest } from '../helpers/tree-digest.js'
import { writeModel } from '../helpers/write-model.js'

interface Given extends FoldOptions {
  folder: string
  base: string
  tasks: { name: string; path: string }[]
}

const f32 = (...data: number[]): TinyTensor => ({ dtype: 'F32', shape: [data.length], data })

function given(t: ExecutionContext, base: TinyFile['tensors'], ...tasks: TinyFile['tensors'][]): Given {
  const folder = tempFolder(t)
  return {
    folder,
    base: writeModel(join(folder, 'base'), { tensors: base }),
    tasks: tasks.map((tensors, i) => ({
      name: `t${i}`,
      path: writeModel(join(folder, `t${i}`), { tensors }),
    })),
    output: join(folder, 'family'),
  }
}

const weights = (path: string) => join(path, 'model.safetensors')

async function refused(t: ExecutionContext, options: Given, code: string): Promise<TaskfoldError> {
  const before = treeDigest(options.folder)
  const error = await t.throwsAsync(fold(options), { instanceOf: TaskfoldError, code })
  t.deepEqual(treeDigest(options.folder), before, 'inputs are untouched, and no output or lock is left')
  return error as TaskfoldError
}

for (const scope of ['global', 'tensor'] as const) {
  test(`a NaN is named with its file, task, tensor and index: scope ${scope}`, async (t) => {
    const options = given(
      t,
      { a: f32(1, 2), w: f32(1, 2, 3) },
      { a: f32(1, 2), w: f32(1, 2, 3) },
      { a: f32(1, 2), w: f32(1, 2, Number.NaN) },
    )
    const error = await refused(t, { ...options, scope } as Given, 'NON_FINITE')
    t.deepEqual(
      { file: error.file, task: error.task, tensor: error.tensor, index: error.index },
      { file: weights(options.tasks[1]!.path), task: 't1', tensor: 'w', index: 2 },
    )
    t.regex(error.message, /t1/)
  })
}

test('a NaN in the base names the base', async (t) => {
  const options = given(t, { w: f32(Number.NaN, 1) }, { w: f32(1, 1) })
  const error = await refused(t, options, 'NON_FINITE')
  t.deepEqual([error.file, error.task, error.index], [weights(options.base), undefined, 0])
})

test('--non-finite keep folds NaN and infinities and gives them back', async (t) => {
  const values = [1, Number.NaN, Number.POSITIVE_INFINITY, -0, 5, 6, 7, 8, 9, 10]
  const options = given(t, { w: f32(...values.map(() => 1)) }, { w: f32(...values) })
  await fold({ ...options, nonFinite: 'keep', density: 1 })
  const { data } = await (await openFamily(options.output)).tensor('w', { task: 't0' })
  t.deepEqual(Buffer.from(data), readFileSync(weights(options.tasks[0]!.path)).subarray(-40))
})

test('a lying file is refused with its own code and leaves no output', async (t) => {
  const lies: [(path: string) => void, string][] = [
    [(path) => truncateSync(path, 4), 'HEADER_TOO_SHORT'],
    [(path) => writeFileSync(path, ''), 'HEADER_TOO_SHORT'],
    [(path) => truncateSync(path, readFileSync(path).length - 1), 'TENSOR_OUT_OF_FILE'],
    [(path) => appendFileSync(path, 'x'), 'TENSOR_GAP'],
    [
      (path) =>
        writeFileSync(
          path,
          Buffer.concat([Buffer.from([255, 255, 255, 255, 255, 255, 255, 127]), Buffer.alloc(99)]),
        ),
      'HEADER_TOO_LARGE',
    ],
  ]
  for (const [lie, code] of lies) {
    for (const which of ['base', 'task'] as const) {
      const options = given(t, { w: f32(1, 2) }, { w: f32(1, 3) })
      const path = weights(which === 'base' ? options.base : options.tasks[0]!.path)
      lie(path)
      const error = await refused(t, options, code)
      t.is(error.file, path)
      t.is(error.task, which === 'base' ? undefined : 't0')
    }
  }
})

test('an input that changes while it is read is noticed', async (t) => {
  const options = given(t, { w: f32(1, 2) }, { w: f32(1, 3) })
  const path = weights(options.tasks[0]!.path)
  const onProgress: FoldOptions['onProgress'] = ({ phase }) => {
    if (phase === 'write deltas') utimesSync(path, new Date(1), new Date(1))
  }
  const error = await t.throwsAsync(fold({ ...options, onProgress }), {
    instanceOf: TaskfoldError,
    code: 'INPUT_CHANGED',
  })
  t.is(error!.file, path)
  t.deepEqual(readdirSync(options.folder).sort(), ['base', 't0'])
})

test('an input that shrinks while it is read is no crash', async (t) => {
  const data = new Uint8Array(1 << 20)
  const big: TinyTensor = { dtype: 'F32', shape: [data.length / 4], data }
  const options = given(t, { w: big }, { w: big })
  const path = weights(options.tasks[0]!.path)
  const onProgress: FoldOptions['onProgress'] = ({ phase }) => {
    if (phase === 'read headers') truncateSync(path, 5000)
  }
  const error = await t.throwsAsync(fold({ ...options, onProgress }), { instanceOf: TaskfoldError })
  t.true(['FILE_TRUNCATED', 'INPUT_CHANGED', 'TENSOR_OUT_OF_FILE'].includes(error!.code), error!.code)
  t.false(existsSync(options.output))
})

test('names of every kind are folded and come back', async (t) => {
  const names = [
    '__proto__',
    'constructor',
    '../../up',
    '/etc/x',
    'a\nb',
    'w.value',
    'w',
    'w.index',
    '\u{1f600}',
    '..',
    'x'.repeat(3000),
  ]
  const model = (k: number): TinyFile['tensors'] => new Map(names.map((name, i) => [name, f32(i, k, i * k)]))
  const options = given(t, model(1), model(2), model(3))
  await fold({ ...options, density: 1 })
  const family = await openFamily(options.output)
  for (const task of family.tasks) {
    const found = new Map<string, Uint8Array>()
    for await (const { name, data } of family.tensors(task)) found.set(name, data)
    t.deepEqual([...found.keys()].sort(), [...names].sort())
    for (const [i, name] of names.entries()) {
      const k = Number(task.slice(1)) + 2
      t.deepEqual(Buffer.from(found.get(name)!), Buffer.from(new Float32Array([i, k, i * k]).buffer), name)
    }
  }
  t.deepEqual(readdirSync(options.folder).sort(), ['base', 'family', 't0', 't1'])
  const against = Object.fromEntries(options.tasks.map(({ name, path }) => [name, path]))
  t.true((await verify(options.output, { against })).tasks.every((task) => task.against!.exact))
})

test('task names that are members of every object are tasks like any other', async (t) => {
  const options = given(t, { w: f32(1, 2) }, { w: f32(1, 3) })
  const { path } = options.tasks[0]!
  await fold({
    ...options,
    tasks: ['__proto__', 'constructor', 'toString'].map((name) => ({ name, path })),
    density: 1,
  })
  const family = await openFamily(options.output)
  t.deepEqual(family.tasks, ['__proto__', 'constructor', 'toString'])
  t.is((await family.tensor('w', { task: '__proto__' })).data.length, 8)
})

test('other files with names that are no paths everywhere are left out; links are copied as files', async (t) => {
  const options = given(t, { w: f32(1, 2) }, { w: f32(1, 3) })
  const { path } = options.tasks[0]!
  writeFileSync(join(path, 'config.json'), '{"a":1}')
  writeFileSync(join(path, 'Config.json'), '{"a":2}')
  writeFileSync(join(path, 'a:b.json'), 'x')
  writeFileSync(join(path, 'a\\b.json'), 'x')
  writeFileSync(join(options.folder, 'elsewhere.txt'), 'secret')
  symlinkSync(join(options.folder, 'elsewhere.txt'), join(path, 'linked.txt'))
  await fold(options)
  const names = readdirSync(join(options.output, 'tasks', 't0'))
  t.is(names.filter((name) => /^config\.json$/i.test(name)).length, 1)
  t.false(names.some((name) => /[:\\]/.test(name)))
})

test('metadata of any kind passes through', async (t) => {
  const folder = tempFolder(t)
  const metadata: Record<string, string> = JSON.parse(
    '{"__proto__":"x","taskfold":"{}","format":"tf","note":"é"}',
  )
  const write = (name: string) => writeModel(join(folder, name), { tensors: { w: f32(1, 2) }, metadata })
  const output = join(folder, 'family')
  await fold({ base: write('base'), tasks: { t: write('t') }, output })
  const out = join(folder, 'out')
  await (await openFamily(output)).materialize('t', out)
  const bytes = readFileSync(weights(out))
  const header = bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0)))
  for (const part of ['"__proto__":"x"', '"format":"pt"', '"note":"é"']) t.true(header.includes(part), part)
})

test('an output that holds foreign files is never replaced, even with force', async (t) => {
  const options = given(t, { w: f32(1, 2) }, { w: f32(1, 3) })
  mkdirSync(options.output)
  writeFileSync(join(options.output, 'thesis.txt'), 'years of work')
  await refused(t, { ...options, force: true }, 'OUTPUT_EXISTS')
})

test('an output that would replace an input is refused, also through a link', async (t) => {
  const options = given(t, { w: f32(1, 2) }, { w: f32(1, 3) })
  symlinkSync(options.base, join(options.folder, 'link'))
  for (const output of [options.base, join(options.folder, 'link'), options.tasks[0]!.path, options.folder]) {
    await refused(t, { ...options, output, force: true }, 'INVALID_ARGUMENT')
  }
})

test('of two folds into one output, one is refused', async (t) => {
  const options = given(t, { w: f32(1, 2) }, { w: f32(1, 3) })
  const results = await Promise.allSettled([fold(options), fold(options)])
  const failed = results.flatMap((result) =>
    result.status === 'rejected' ? [(result.reason as TaskfoldError).code] : [],
  )
  t.is(failed.length, 1)
  t.true(['OUTPUT_BUSY', 'OUTPUT_EXISTS'].includes(failed[0]!), failed[0])
  t.is((await verify(options.output)).tasks.length, 1)
})

test('only empty tensors, scalars, and nothing at all', async (t) => {
  const empty: TinyTensor = { dtype: 'F32', shape: [0, 3], data: [] }
  for (const scope of ['global', 'tensor'] as const) {
    const options = given(t, { e: empty }, { e: empty })
    const result = await fold({ ...options, scope, density: 1 })
    t.is(result.tasks[0]!.elements, 0)
    t.is((await verify(options.output)).tasks[0]!.tensors, 1)
    const scalar: TinyTensor = { dtype: 'F32', shape: [], data: [2] }
    const one = given(t, { s: scalar, e: empty }, { s: { ...scalar, data: [3] }, e: empty })
    await fold({ ...one, scope, density: 1 })
    t.deepEqual([...(await (await openFamily(one.output)).tensor('s', { task: 't0' })).data], [0, 0, 64, 64])
  }
  await refused(t, given(t, {}, {}), 'NOTHING_TO_MERGE')
})

test('a folder without write permission or a missing parent that is a file', async (t) => {
  const options = given(t, { w: f32(1, 2) }, { w: f32(1, 3) })
  writeFileSync(join(options.folder, 'file'), '')
  const error = await t.throwsAsync(fold({ ...options, output: join(options.folder, 'file', 'family') }), {
    instanceOf: TaskfoldError,
  })
  t.true(['NOT_FOUND', 'IO_ERROR', 'OUTPUT_EXISTS'].includes(error!.code), error!.code)
})
