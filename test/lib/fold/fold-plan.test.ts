import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { describePlan } from '../../../lib/fold/describe-plan.js'
import type { FoldOptions } from '../../../lib/fold/fold-options.js'
import { planFold } from '../../../lib/fold/fold-plan.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { type TinyFile, tinySafetensors } from '../../helpers/tiny-checkpoint.js'

interface Model {
  tensors: TinyFile['tensors']
  metadata?: Record<string, string>
  files?: Record<string, string>
}

function write(folder: string, { tensors, metadata, files = {} }: Model): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'model.safetensors'), tinySafetensors({ tensors, metadata }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

function options(
  t: ExecutionContext,
  base: Model,
  tasks: Record<string, Model>,
): FoldOptions & { folder: string } {
  const folder = tempFolder(t)
  return {
    folder,
    base: write(join(folder, 'base'), base),
    tasks: Object.entries(tasks).map(([name, model]) => ({ name, path: write(join(folder, name), model) })),
    output: join(folder, 'family'),
  }
}

const f32 = (...data: number[]) => ({ dtype: 'F32', shape: [data.length], data })
const codes = (problems: readonly TaskfoldError[]) => problems.map(({ code }) => code)

test('notes every missing, extra, mismatched and integer tensor with what it costs', async (t) => {
  const plan = await planFold(
    options(
      t,
      {
        tensors: {
          a: f32(1, 2),
          ids: { dtype: 'I64', shape: [2], data: [1, 2] },
          lost: f32(1),
          head: f32(1, 2, 3),
        },
      },
      {
        one: {
          tensors: {
            a: f32(1, 3),
            ids: { dtype: 'I64', shape: [2], data: [1, 2] },
            head: f32(1),
            own: f32(5, 5),
          },
        },
        two: { tensors: { a: f32(1, 4), lost: f32(2), head: f32(1, 2, 4) } },
      },
    ),
  )
  t.deepEqual(plan.problems, [])
  t.deepEqual(
    plan.notes.map(({ kind, task, tensor, bytes }) => [kind, task, tensor, bytes]),
    [
      ['missing', 'one', 'lost', undefined],
      ['mismatch', 'one', 'head', 4],
      ['not-float', 'one', 'ids', 16],
      ['extra', 'one', 'own', 8],
      ['missing', 'two', 'ids', undefined],
      ['mismatch', 'two', 'head', 12],
      ['mismatch', 'two', 'lost', 4],
    ],
  )
  t.is(plan.predicted.tasks[0]!.whole, 28)
  t.deepEqual(
    plan.mergeable.map(({ name }) => name),
    ['a'],
  )
})

test('says which models are converted and whether that loses anything', async (t) => {
  const half = { dtype: 'F16', shape: [2], data: [1, 2] }
  const plan = await planFold(
    options(
      t,
      { tensors: { a: half, b: half } },
      { one: { tensors: { a: half, b: f32(1, 2) } }, two: { tensors: { a: half, b: half } } },
    ),
  )
  t.deepEqual(plan.conversions, [
    { task: 'one', from: 'F32', to: 'F16', tensors: 1, elements: 2, exact: false },
  ])
  t.regex(plan.notes[0]!.message, /task one: 1 tensor converted from F32 to F16: values are rounded/)
  const given = options(t, { tensors: { a: half } }, { one: { tensors: { a: half } } })
  const widened = await planFold({ ...given, dtype: 'f32' })
  t.deepEqual(
    widened.conversions.map(({ task, exact }) => [task, exact]),
    [
      [null, true],
      ['one', true],
    ],
  )
})

test('finds tied tables by config and lists them', async (t) => {
  const config = { files: { 'config.json': '{"tie_word_embeddings":true}' } }
  const table = (...data: number[]) => ({ dtype: 'F32', shape: [2, 2], data })
  const model = (k: number): Model => ({
    tensors: { 'lm_head.weight': table(1, 2, 3, k), 'wte.weight': table(1, 2, 3, k), q: table(4, 3, 2, 1) },
    ...config,
  })
  const plan = await planFold(options(t, model(0), { one: model(1), two: model(2) }))
  t.deepEqual(plan.ties, [{ of: 'lm_head.weight', names: ['wte.weight'] }])
  t.is(plan.elements, 8)
  t.true(plan.notes.some(({ kind }) => kind === 'tied'))
})

test('warns of f8 tensors with scales and of one path given twice', async (t) => {
  const f8 = { dtype: 'F8_E4M3', shape: [2], data: [8, 9] }
  const given = options(
    t,
    { tensors: { 'l.weight': f8, 'l.weight_scale': f32(1) } },
    {
      one: { tensors: { 'l.weight': f8, 'l.weight_scale': f32(2) } },
    },
  )
  const [task] = given.tasks as { name: string; path: string }[]
  const plan = await planFold({ ...given, tasks: [task!, { name: 'two', path: task!.path }] })
  t.deepEqual(
    plan.notes.map(({ kind }) => kind),
    ['same-path', 'scales'],
  )
})

test('configs that equal the base’s cost nothing', async (t) => {
  const files = { 'config.json': '{"a":1}', 'tokenizer.json': 'x'.repeat(1000) }
  const base: Model = { tensors: { a: f32(1) }, files }
  const same = await planFold(options(t, base, { one: base }))
  const other = await planFold(
    options(t, base, { one: { ...base, files: { ...files, 'tokenizer.json': 'y'.repeat(1000) } } }),
  )
  t.is(other.predicted.tasks[0]!.bytes - same.predicted.tasks[0]!.bytes, 1000)
})

test('reports nothing to merge, an existing output and a lack of space together', async (t) => {
  const given = options(t, { tensors: { a: f32(1) } }, { one: { tensors: { b: f32(1) } } })
  write(given.output, { tensors: {} })
  const plan = await planFold(given)
  t.deepEqual(codes(plan.problems), ['OUTPUT_EXISTS', 'NOTHING_TO_MERGE'])
  t.deepEqual(codes((await planFold({ ...given, force: true })).problems), ['NOTHING_TO_MERGE'])
})

test('reports every model that cannot be opened, and the output, in one run', async (t) => {
  const given = options(t, { tensors: { a: f32(1) } }, { one: { tensors: { a: f32(1) } } })
  write(given.output, { tensors: {} })
  const error = await t.throwsAsync(
    planFold({
      ...given,
      tasks: { x: join(given.folder, 'nowhere'), y: given.folder, z: join(given.folder, 'one') },
    }),
    { code: 'PREFLIGHT_FAILED' },
  )
  t.deepEqual(codes((error as TaskfoldError).problems!), ['NOT_FOUND', 'NOT_A_CHECKPOINT', 'OUTPUT_EXISTS'])
})

test('never plans to replace an input', async (t) => {
  const given = options(t, { tensors: { a: f32(1) } }, { one: { tensors: { a: f32(1) } } })
  for (const output of [given.base, given.folder]) {
    const plan = await planFold({ ...given, output, force: true })
    t.deepEqual(codes(plan.problems), ['INVALID_ARGUMENT'], output)
  }
})

test('a description is plain JSON', async (t) => {
  const given = options(t, { tensors: { a: f32(1, 2) } }, { one: { tensors: { a: f32(1, 3), own: f32(1) } } })
  const description = describePlan(await planFold({ ...given, density: 0.5 }))
  t.is(JSON.parse(JSON.stringify(description)).method.density, 0.5)
  t.is(description.method.lambda, 0.3)
  t.is(description.tasks[0]!.kept, 1)
  t.deepEqual(description.tasks[0]!.tensors, { delta: 1, rows: 0, keep: 1, alias: 0 })
  t.is(description.totals.originalBytes, 12)
})

test('a plan can be cancelled', async (t) => {
  const given = options(t, { tensors: { a: f32(1) } }, { one: { tensors: { a: f32(1) } } })
  await t.throwsAsync(planFold({ ...given, signal: AbortSignal.abort() }), { code: 'CANCELLED' })
})
