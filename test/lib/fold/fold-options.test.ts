import { resolve } from 'node:path'
import test from 'ava'
import type { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { checkFoldOptions, type FoldOptions } from '../../../lib/fold/fold-options.js'

const good: FoldOptions = { base: 'b', tasks: [{ name: 'a', path: 'p' }], output: 'o' }

function refused(options: unknown): TaskfoldError[] {
  try {
    checkFoldOptions(options as FoldOptions)
    return []
  } catch (error) {
    const found = error as TaskfoldError
    return found.code === 'PREFLIGHT_FAILED' ? [...found.problems!] : [found]
  }
}

test('fills in the defaults and rounds λ to f32', (t) => {
  t.deepEqual(checkFoldOptions(good), {
    base: 'b',
    tasks: [{ name: 'a', path: 'p' }],
    output: resolve('o'),
    lambda: Math.fround(0.3),
    density: 0.1,
    codec: 'exact',
    target: null,
    deadZone: 0.65,
    scope: 'global',
    dtype: 'keep',
    rows: 'whole',
    nonFinite: 'error',
    index: 'auto',
    values: 'auto',
    rankRule: null,
    maxRank: undefined,
    copyBase: false,
    threads: undefined,
    force: false,
    cacheDir: undefined,
  })
  t.is(checkFoldOptions({ ...good, dtype: 'bf16' }).dtype, 'BF16')
})

test('takes one way to choose ranks, and a cap', (t) => {
  t.like(checkFoldOptions({ ...good, energy: 0.9, maxRank: 8, copyBase: true }), {
    rankRule: { kind: 'energy', share: 0.9 },
    maxRank: 8,
    copyBase: true,
  })
})

test('takes tasks as a record too', (t) => {
  t.deepEqual(checkFoldOptions({ ...good, tasks: { b: 'pb', a: 'pa' } }).tasks, [
    { name: 'b', path: 'pb' },
    { name: 'a', path: 'pa' },
  ])
})

const bad: [string, object][] = [
  ['density above 1', { density: 1.01 }],
  ['negative density', { density: -0.1 }],
  ['density NaN', { density: Number.NaN }],
  ['density as text', { density: '0.1' }],
  ['λ infinite', { lambda: Number.POSITIVE_INFINITY }],
  ['λ beyond f32', { lambda: 1e39 }],
  ['λ as text', { lambda: '0.3' }],
  ['scope', { scope: 'layer' }],
  ['dtype', { dtype: 'F32' }],
  ['rows', { rows: 'all' }],
  ['nonFinite', { nonFinite: 'drop' }],
  ['index', { index: 'golomb' }],
  ['device', { device: 'gpu' }],
  ['gpuMemory without a GPU', { gpuMemory: 2 ** 30 }],
  ['little gpuMemory', { device: 'auto', gpuMemory: 1 }],
  ['threads 0', { threads: 0 }],
  ['threads 1.5', { threads: 1.5 }],
  ['force', { force: 'yes' }],
  ['empty base', { base: '' }],
  ['base with NUL', { base: 'a\0b' }],
  ['base missing', { base: undefined }],
  ['output of another type', { output: 7 }],
  ['no task', { tasks: [] }],
  ['tasks of another type', { tasks: 'a=b' }],
  ['task without path', { tasks: [{ name: 'a' }] }],
  ['task name with a slash', { tasks: [{ name: 'a/b', path: 'p' }] }],
  ['task name ..', { tasks: [{ name: '..', path: 'p' }] }],
  ['task name empty', { tasks: [{ name: '', path: 'p' }] }],
  ['task name too long', { tasks: [{ name: 'a'.repeat(65), path: 'p' }] }],
  ['task name twice', { tasks: [good, good].map(() => ({ name: 'a', path: 'p' })) }],
  ['task names that differ in case', { tasks: ['a', 'A'].map((name) => ({ name, path: 'p' })) }],
  ['cacheDir', { cacheDir: '' }],
  ['rank 0', { rank: 0 }],
  ['two rules for ranks', { rank: 4, energy: 0.9 }],
  ['energy above 1', { energy: 1.5 }],
  ['maxRank without a rule', { maxRank: 4 }],
  ['maxRank 0', { energy: 0.9, maxRank: 0 }],
  ['copyBase', { copyBase: 'yes' }],
]

for (const [what, change] of bad) {
  test(`refuses: ${what}`, (t) => {
    const problems = refused({ ...good, ...change })
    t.deepEqual(
      problems.map(({ code }) => code),
      ['INVALID_ARGUMENT'],
      problems.map(({ message }) => message).join('\n'),
    )
  })
}

test('lists all bad options at once', (t) => {
  t.is(refused({ base: '', tasks: [], output: '', density: 2, lambda: Number.NaN, scope: 'x' }).length, 6)
  t.is(refused(null).length, 3)
  t.is(refused({ ...good, tasks: [null] }).length, 2)
})
