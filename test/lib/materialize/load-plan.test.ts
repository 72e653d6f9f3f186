import test from 'ava'
import { type ModelPlan, planModel, planTask, type TaskPlan } from '../../../lib/materialize/load-plan.js'
import { openPack } from '../../../lib/pack/open-pack.js'
import { type NaiveFamily, naivePack } from '../../helpers/naive-pack.js'
import { sampleFamily } from '../../helpers/sample-family.js'
import { tempFolder } from '../../helpers/temp-folder.js'

async function plans(folder: string, family: NaiveFamily): Promise<{ model: ModelPlan; tasks: TaskPlan[] }> {
  const pack = await openPack(await naivePack(folder, family))
  const tasks = await Promise.all(Object.keys(family.tasks).map((name) => pack.task(name)))
  const model = planModel(pack.merged!, tasks)
  return { model, tasks: tasks.map((task) => planTask(model, task)) }
}

/** Ranges [at, at + length) that overlap, or do not begin at a multiple of 256. */
function faults(ranges: { name: string; at: number; length: number }[], end: number): string[] {
  const sorted = ranges.filter(({ length }) => length > 0).sort((a, b) => a.at - b.at)
  return sorted.flatMap(({ name, at, length }, i) => {
    const next = sorted[i + 1]?.at ?? end
    return at % 256 === 0 && at + length <= next ? [] : [name]
  })
}

test('θ* is laid out without overlaps, each tensor at a multiple of 256', async (t) => {
  const { model } = await plans(tempFolder(t), sampleFamily())
  const ranges = [...model.tensors.values()].map(({ name, at }) => {
    return { name, at, length: model.room.get(name)! }
  })
  t.deepEqual(faults(ranges, model.bytes), [])
  t.is(model.bytes % 256, 0)
  t.deepEqual([...model.tensors.keys()], [...model.tensors.keys()].sort())
  t.is(
    model.copies.reduce((sum, { from }) => sum + from.length, 0),
    [...model.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0),
  )
})

test('a tensor has room for the largest rows of any task', async (t) => {
  const { model, tasks } = await plans(tempFolder(t), sampleFamily())
  t.is(model.tensors.get('table')!.byteLength, 64)
  t.is(model.room.get('table'), 96)
  const table = tasks[0]!.tensors.get('table')!
  t.like(table, { memory: 'model', at: model.tensors.get('table')!.at, byteLength: 96, shape: [6, 8] })
  t.deepEqual(tasks[0]!.tails, [
    {
      from: tasks[0]!.tails[0]!.from,
      saved: tasks[0]!.tails[0]!.saved,
      at: table.at + 64,
      length: 32,
      overlap: 0,
    },
  ])
})

test('rows that replace rows of θ* save these', async (t) => {
  const shared = { name: 'table', dtype: 'F16', shape: [9, 2], data: new Uint8Array(36) }
  const rows = (count: number, extra: number) => ({
    tensors: [
      {
        ...{ kind: 'rows' as const, name: 'table', dtype: 'F16', shape: [count + extra, 2], rows: count },
        ...{
          positions: [1],
          values: new Uint8Array(2),
          index: 'u16' as const,
          extra: new Uint8Array(4 * extra),
        },
      },
    ],
  })
  const { model, tasks } = await plans(tempFolder(t), {
    merged: { 'model.safetensors': [shared] },
    tasks: { fewer: rows(5, 2), more: rows(5, 10), none: rows(9, 0) },
  })
  t.is(model.room.get('table'), 60)
  const facts = tasks.map(({ tails }) => tails.map(({ at, length, overlap }) => ({ at, length, overlap })))
  t.deepEqual(facts, [[{ at: 20, length: 8, overlap: 8 }], [{ at: 20, length: 40, overlap: 16 }], []])
  for (const { tails, ownBytes, name } of tasks) {
    const ranges = tails.flatMap(({ from, saved, length, overlap }) => [
      { name: 'rows', at: from, length },
      { name: 'saved', at: saved, length: overlap },
    ])
    t.deepEqual(faults(ranges, ownBytes), [], name)
  }
})

test('what a task stores whole lies in its own memory, ties where what they are tied to lies', async (t) => {
  const { model, tasks } = await plans(tempFolder(t), sampleFamily())
  const one = tasks[0]!
  const own = [...one.tensors.values()].filter(({ memory }) => memory === 'task')
  t.deepEqual(own.map(({ name }) => name).sort(), ['a.value', 'head', 'mask'])
  const ranges = [...own.map(({ name, at, byteLength }) => ({ name, at, length: byteLength }))]
  ranges.push(...one.tails.map(({ from, length }) => ({ name: 'rows', at: from, length })))
  t.deepEqual(faults(ranges, one.ownBytes), [])
  const { at, memory, byteLength } = one.tensors.get('table')!
  t.like(one.tensors.get('tied'), { at, memory, byteLength, name: 'tied' })
  t.deepEqual([...one.tensors.keys()], [...one.tensors.keys()].sort())
  // Kept nothing, the same, and empty: nothing to do.
  t.deepEqual(
    one.deltas.map(({ name }) => name),
    ['__proto__', 'a', 'b', 'd', 'e', 'table'],
  )
  t.deepEqual(
    one.deltas.map(({ name, at }) => at === model.tensors.get(name)!.at),
    [true, true, true, true, true, true],
  )
  t.deepEqual(
    tasks[1]!.deltas.map(({ name }) => name),
    ['a'],
  )
})

test('a task that the model was not planned with is refused when it needs more room', async (t) => {
  const pack = await openPack(await naivePack(tempFolder(t), sampleFamily()))
  const model = planModel(pack.merged!, [await pack.task('two')])
  const task = await pack.task('one')
  t.throws(() => planTask(model, task), { code: 'INTERNAL', message: /no room for the rows of table/ })
})
