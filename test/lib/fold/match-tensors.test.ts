import test from 'ava'
import type { Dtype } from '../../../lib/checkpoint/checkpoint-types.js'
import { matchTensors } from '../../../lib/fold/match-tensors.js'
import { headerCheckpoint } from '../../helpers/header-checkpoint.js'

type Shapes = Record<string, [Dtype, readonly number[]]>

function match(
  base: Shapes,
  tasks: Shapes[],
  settings: Partial<Parameters<typeof matchTensors>[1]> = {},
  ties: { of: string; names: string[] }[] = [],
) {
  const inputs = {
    base: headerCheckpoint('base', base),
    tasks: tasks.map((task, i) => ({ name: `t${i}`, checkpoint: headerCheckpoint(`t${i}`, task) })),
  }
  return matchTensors(inputs, { dtype: 'keep', rows: 'whole', ...settings }, ties)
}

const roles = (matched: ReturnType<typeof match>, task = 0) =>
  Object.fromEntries(matched.tasks[task]!.tensors.map((tensor) => [tensor.name, tensor.kind]))

test('merges what base and all tasks have as floats of one shape', (t) => {
  const base: Shapes = {
    w: ['BF16', [2, 3]],
    n: ['F32', []],
    i: ['I64', [4]],
    d: ['F64', [2]],
    e: ['F16', [0]],
  }
  const matched = match(base, [base, { ...base, w: ['F32', [2, 3]] }])
  t.deepEqual(
    matched.mergeable.map(({ name, dtype, elements, rows }) => [name, dtype, elements, rows]),
    [
      ['e', 'F16', 0, null],
      ['n', 'F32', 1, null],
      ['w', 'BF16', 6, null],
    ],
  )
  t.deepEqual(roles(matched), { d: 'keep', e: 'delta', i: 'keep', n: 'delta', w: 'delta' })
  t.deepEqual(
    matched.merged.map(({ name, kind, dtype }) => [name, kind, dtype]),
    [
      ['d', 'copy', 'F64'],
      ['e', 'merge', 'F16'],
      ['i', 'copy', 'I64'],
      ['n', 'merge', 'F32'],
      ['w', 'merge', 'BF16'],
    ],
  )
})

test('keeps whole what one model lacks, has with another shape, or not as a float', (t) => {
  const base: Shapes = { a: ['F32', [2]], b: ['F32', [2]], c: ['F32', [2]], d: ['F32', [2]] }
  const matched = match(base, [
    { a: ['F32', [2]], b: ['F32', [3]], c: ['F32', [2]], x: ['F32', [1]] },
    { a: ['F32', [2]], b: ['F32', [2]], c: ['I32', [2]], d: ['F32', [2]] },
  ])
  t.deepEqual(
    matched.mergeable.map(({ name }) => name),
    ['a'],
  )
  t.deepEqual(roles(matched, 0), { a: 'delta', b: 'keep', c: 'keep', x: 'keep' })
  t.deepEqual(
    matched.tasks.map((task) => task.missing),
    [['d'], []],
  )
  const [first] = matched.tasks
  const kept = Object.fromEntries(
    first!.tensors.flatMap((tensor) => (tensor.kind === 'keep' ? [[tensor.name, tensor.maySame]] : [])),
  )
  t.deepEqual(kept, { b: false, c: true, x: false })
})

test('orders names bytewise, not by UTF-16 units', (t) => {
  const base: Shapes = { '\u{1f600}': ['F32', [1]], '\uffee': ['F32', [1]], Z: ['F32', [1]], a: ['F32', [1]] }
  t.deepEqual(
    match(base, [base]).mergeable.map(({ name }) => name),
    ['Z', 'a', '\uffee', '\u{1f600}'],
  )
})

test('--dtype is the storage dtype of merged tensors only', (t) => {
  const base: Shapes = { w: ['F32', [2]], i: ['I32', [2]] }
  const matched = match(base, [base], { dtype: 'BF16' })
  t.deepEqual(
    matched.merged.map(({ dtype }) => dtype),
    ['I32', 'BF16'],
  )
})

test('--rows prefix folds the rows that all have', (t) => {
  const base: Shapes = { w: ['F32', [10, 4]], v: ['F32', [3]], s: ['F32', []], z: ['F32', [4, 0]] }
  const tasks: Shapes[] = [
    { w: ['F32', [12, 4]], v: ['F32', [3]], s: ['F32', []], z: ['F32', [5, 0]] },
    { w: ['F32', [10, 4]], v: ['F32', [2]], s: ['F32', []], z: ['F32', [4, 0]] },
  ]
  t.deepEqual(
    match(base, tasks).mergeable.map(({ name }) => name),
    ['s'],
  )
  const matched = match(base, tasks, { rows: 'prefix' })
  t.deepEqual(
    matched.mergeable.map(({ name, rows, elements }) => [name, rows, elements]),
    [
      ['s', null, 1],
      ['v', 2, 2],
      ['w', 10, 40],
    ],
  )
  t.deepEqual(roles(matched, 0), { s: 'delta', v: 'rows', w: 'rows', z: 'keep' })
  t.deepEqual(
    roles(matched, 1),
    { s: 'delta', v: 'rows', w: 'delta', z: 'keep' },
    'all rows of the base: a plain delta',
  )
})

test('--rows prefix needs the other extents to agree', (t) => {
  const matched = match({ w: ['F32', [10, 4]] }, [{ w: ['F32', [12, 5]] }], { rows: 'prefix' })
  t.deepEqual(roles(matched), { w: 'keep' })
})

test('a tied name is stored once and counts once', (t) => {
  const base: Shapes = { head: ['F32', [5, 2]], table: ['F32', [5, 2]] }
  const matched = match(base, [base, { table: ['F32', [5, 2]] }], {}, [{ of: 'table', names: ['head'] }])
  t.deepEqual(
    matched.mergeable.map(({ name }) => name),
    ['table'],
  )
  t.deepEqual(roles(matched, 0), { head: 'alias', table: 'delta' })
  t.deepEqual(roles(matched, 1), { table: 'delta' })
  t.deepEqual(matched.tasks[1]!.missing, [], 'a dropped twin is not missing')
  t.deepEqual(
    matched.merged.map(({ name, kind }) => [name, kind]),
    [
      ['head', 'tied'],
      ['table', 'merge'],
    ],
  )
})

test('names of object members are names like any other', (t) => {
  const base: Shapes = JSON.parse('{"__proto__":["F32",[1]],"constructor":["F32",[1]]}')
  t.deepEqual(
    match(base, [base]).mergeable.map(({ name }) => name),
    ['__proto__', 'constructor'],
  )
})
