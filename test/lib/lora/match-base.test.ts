import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { readCheckpoint } from '../../../lib/checkpoint/open-checkpoint.js'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { type BaseMatch, matchBase } from '../../../lib/lora/match-base.js'
import { openAdapter } from '../../../lib/lora/open-adapter.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import type { TinyTensor } from '../../helpers/tiny-checkpoint.js'
import { type TinyLayer, type TinyPeft, writePeftAdapter } from '../../helpers/write-adapter.js'
import { writeModel } from '../../helpers/write-model.js'

const f32 = (...shape: number[]): TinyTensor => {
  return {
    dtype: 'F32',
    shape,
    data: new Array(shape.reduce((product, extent) => product * extent, 1)).fill(0),
  }
}
const linear = (rows: number, columns: number): TinyLayer => ({ rows, columns, rank: 2 })

async function match(
  t: ExecutionContext,
  tensors: Record<string, TinyTensor>,
  layers: Record<string, TinyLayer>,
  more: Partial<TinyPeft> = {},
): Promise<BaseMatch> {
  const folder = tempFolder(t)
  writePeftAdapter(join(folder, 'adapter'), { layers, ...more })
  const base = await readCheckpoint(writeModel(join(folder, 'base'), { tensors }))
  return matchBase(await openAdapter(join(folder, 'adapter')), base)
}

const found = ({ layers }: BaseMatch) =>
  [...layers].map(([module, { tensor, transposed }]) => [module, tensor.name, transposed])

test('linear layers, convolutions and tables find their weights', async (t) => {
  const layers = {
    conv: { kind: 'conv2d', rows: 5, columns: 3, rank: 2 },
    table: { kind: 'embedding', rows: 4, columns: 9, rank: 2 },
    'x.q': linear(7, 4),
  } as const
  const base = { 'conv.weight': f32(5, 3, 3, 3), 'table.weight': f32(9, 4), 'x.q.weight': f32(7, 4) }
  t.deepEqual(found(await match(t, base, layers)), [
    ['conv', 'conv.weight', false],
    ['table', 'table.weight', true],
    ['x.q', 'x.q.weight', false],
  ])
})

test('Conv1D weights are transposed where the configuration says so, square ones too', async (t) => {
  const layers = { plain: linear(3, 5), square: linear(4, 4), turned: linear(6, 2) }
  const base = { 'plain.weight': f32(3, 5), 'square.weight': f32(4, 4), 'turned.weight': f32(2, 6) }
  t.deepEqual(found(await match(t, base, layers, { config: { fan_in_fan_out: true } })), [
    ['plain', 'plain.weight', false],
    ['square', 'square.weight', true],
    ['turned', 'turned.weight', true],
  ])
  const error = await t.throwsAsync(match(t, base, layers), { instanceOf: TaskfoldError })
  t.is(error.code, 'ADAPTER_INVALID')
  t.regex(error.message, /"turned" makes a \[6, 2\] change, but "turned.weight" of .* is \[2, 6\]/)
})

test('one prefix is taken from all modules, or added to all', async (t) => {
  const layers = { 'bert.a.q': linear(2, 3), 'bert.b.q': linear(2, 3) }
  const rest = { 'base_model.model.bert.norm.bias': f32(2), 'base_model.model.head.weight': f32(1, 2) }
  const stripped = { 'a.q.weight': f32(2, 3), 'b.q.weight': f32(2, 3), 'norm.bias': f32(2) }
  const without = await match(t, stripped, layers, { rest })
  t.deepEqual(
    found(without).map(([, name]) => name),
    ['a.q.weight', 'b.q.weight'],
  )
  t.deepEqual([...without.rest.keys()].sort(), ['head.weight', 'norm.bias'])
  const prefixed = Object.fromEntries(
    Object.entries(stripped).map(([name, tensor]) => [`model.bert.${name}`, tensor]),
  )
  const added = await match(t, prefixed, layers, { rest })
  t.deepEqual(
    found(added).map(([, name]) => name),
    ['model.bert.a.q.weight', 'model.bert.b.q.weight'],
  )
  t.deepEqual([...added.rest.keys()].sort(), ['head.weight', 'model.bert.norm.bias'])
})

test('a prefix that does not make all match, or two that do, is not taken', async (t) => {
  const layers = { 'x.q': linear(2, 3), 'y.q': linear(2, 3) }
  for (const base of [
    { 'm.x.q.weight': f32(2, 3), 'n.y.q.weight': f32(2, 3) },
    {
      'm.x.q.weight': f32(2, 3),
      'm.y.q.weight': f32(2, 3),
      'n.x.q.weight': f32(2, 3),
      'n.y.q.weight': f32(2, 3),
    },
    { 'x.q.weight': f32(2, 3) },
  ] as Record<string, TinyTensor>[]) {
    const error = await t.throwsAsync(match(t, base, layers), { instanceOf: TaskfoldError })
    t.is(error.code, 'ADAPTER_INVALID')
    t.regex(error.message, /module ".\.q" has no weight in the base/)
  }
})

test('all layers that do not fit are listed, the first in the message', async (t) => {
  const layers = { a: linear(2, 3), b: linear(2, 3), c: linear(2, 3) }
  const base = {
    'a.weight': f32(2, 3),
    'b.weight': f32(3, 3),
    'c.weight': { dtype: 'I8', shape: [2, 3], data: [0, 0, 0, 0, 0, 0] },
  }
  const error = await t.throwsAsync(match(t, base, layers), { instanceOf: TaskfoldError })
  t.regex(error.message, /module "b" makes a \[2, 3\] change.*and 1 more/)
  t.deepEqual(
    error.problems!.map(({ message }) => /module "(.)"/.exec(message)![1]),
    ['b', 'c'],
  )
  t.regex(error.problems![1]!.message, /which is I8/)
})

test('whole tensors are found under any of the names that PEFT gives them', async (t) => {
  const rest = {
    'base_model.model.head.modules_to_save.weight': f32(1, 3),
    'base_model.model.other.modules_to_save.default.dense.bias': f32(1),
    'base_model.model.q.base_layer.bias': f32(2),
    'base_model.model.norm.bias': f32(2),
  }
  const base = { 'q.weight': f32(2, 3), 'q.bias': f32(2), 'head.weight': f32(1, 3) }
  const { rest: matched } = await match(t, base, { q: linear(2, 3) }, { rest })
  t.deepEqual([...matched.keys()].sort(), ['head.weight', 'norm.bias', 'other.dense.bias', 'q.bias'])
  const wrong: Record<string, TinyTensor>[] = [
    { 'base_model.model.q.bias': f32(2), 'base_model.model.q.base_layer.bias': f32(2) },
    { 'somewhere.else': f32(2) },
  ]
  for (const rest of wrong) {
    const error = await t.throwsAsync(match(t, base, { q: linear(2, 3) }, { rest }), {
      instanceOf: TaskfoldError,
    })
    t.is(error.code, 'ADAPTER_INVALID')
  }
})
