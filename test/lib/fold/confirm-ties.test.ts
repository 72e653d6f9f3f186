import test from 'ava'
import type { Dtype } from '../../../lib/checkpoint/checkpoint-types.js'
import { type ContentOf, confirmTies } from '../../../lib/fold/confirm-ties.js'
import { findTies } from '../../../lib/fold/find-ties.js'
import { headerCheckpoint } from '../../helpers/header-checkpoint.js'

type Contents = Record<string, string>

/** Models of 2-D tensors; each is given by name and content. */
function models(base: Contents, tasks: Contents[], config: Record<string, unknown> | null = null) {
  const open = (name: string, contents: Contents) =>
    headerCheckpoint(
      name,
      Object.fromEntries(
        Object.keys(contents).map((tensor) => [tensor, ['F32', [2, 2]] as [Dtype, number[]]]),
      ),
      { config },
    )
  const all = [base, ...tasks]
  const inputs = {
    base: open('base', base),
    tasks: tasks.map((task, i) => ({ name: `t${i}`, checkpoint: open(`t${i}`, task) })),
  }
  const opened = [inputs.base, ...inputs.tasks.map((task) => task.checkpoint)]
  const contentOf: ContentOf = async (model, tensors) =>
    new Map(tensors.map(({ name }) => [name, all[opened.indexOf(model)]![name]!]))
  return { inputs, contentOf }
}

const tied = { tie_word_embeddings: true }

test('equal tables of models that say so are tied', async (t) => {
  const { inputs, contentOf } = models(
    { head: 'x', table: 'x', q: 'y' },
    [{ head: 'z', table: 'z', q: 'z2' }],
    tied,
  )
  t.deepEqual(await findTies(inputs, contentOf), [{ of: 'head', names: ['table'] }])
})

test('without tie_word_embeddings nothing is compared', async (t) => {
  for (const config of [
    null,
    { tie_word_embeddings: false },
    { tie_word_embeddings: 'true' },
    { text_config: null },
  ]) {
    const { inputs, contentOf } = models({ head: 'x', table: 'x' }, [{ head: 'z', table: 'z' }], config)
    t.deepEqual(await findTies(inputs, contentOf), [])
  }
})

test('text_config counts too', async (t) => {
  const config = { text_config: tied }
  const { inputs, contentOf } = models({ head: 'x', table: 'x' }, [{ head: 'z', table: 'z' }], config)
  t.is((await findTies(inputs, contentOf)).length, 1)
})

test('the name that most models have is stored, so a dropped twin costs nothing', async (t) => {
  const { inputs, contentOf } = models({ head: 'x', table: 'x' }, [{ table: 'y' }], tied)
  t.deepEqual(await findTies(inputs, contentOf), [{ of: 'table', names: ['head'] }])
})

test('a tie that one task broke does not hold', async (t) => {
  const { inputs, contentOf } = models(
    { head: 'x', table: 'x' },
    [
      { head: 'y', table: 'y' },
      { head: 'p', table: 'q' },
    ],
    tied,
  )
  t.deepEqual(await findTies(inputs, contentOf), [])
})

test('a tie that the base lacks holds for the tasks', async (t) => {
  const { inputs, contentOf } = models({ table: 'x' }, [{ head: 'y', table: 'y' }], tied)
  t.deepEqual(await findTies(inputs, contentOf), [{ of: 'table', names: ['head'] }])
})

test('a task with the twin alone unties it', async (t) => {
  const { inputs, contentOf } = models({ head: 'x', table: 'x' }, [{ head: 'y' }, { table: 'y' }], tied)
  t.deepEqual(await findTies(inputs, contentOf), [])
})

test('three names of one tensor are one group', async (t) => {
  const contents = { decoder: 'x', encoder: 'x', shared: 'x' }
  const { inputs, contentOf } = models(contents, [contents], tied)
  t.deepEqual(await findTies(inputs, contentOf), [{ of: 'decoder', names: ['encoder', 'shared'] }])
})

test('a name recorded as dropped is a candidate where another model has it', async (t) => {
  const { inputs, contentOf } = models({ table: 'x' }, [{ head: 'y', table: 'y' }])
  const base = {
    ...inputs.base,
    files: inputs.base.files.map((file) => ({ ...file, metadata: { head: 'table' } })),
  }
  t.deepEqual(
    await findTies({ ...inputs, base }, async (model, tensors) =>
      contentOf(model === base ? inputs.base : model, tensors),
    ),
    [{ of: 'table', names: ['head'] }],
  )
})

test('confirming drops what full contents contradict', async (t) => {
  const { inputs, contentOf } = models({ a: 'x', b: 'x', c: 'other' }, [{ a: 'y', b: 'y', c: 'y' }], tied)
  t.deepEqual(await confirmTies(inputs, [['a', 'b', 'c']], contentOf), [{ of: 'a', names: ['b'] }])
  t.deepEqual(await confirmTies(inputs, [], contentOf), [])
})
