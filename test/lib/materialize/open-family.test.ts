import { join } from 'node:path'
import test from 'ava'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { openFamily } from '../../../lib/materialize/open-family.js'
import { naivePack, naiveUnfold } from '../../helpers/naive-pack.js'
import { sampleFamily } from '../../helpers/sample-family.js'
import { tempFolder } from '../../helpers/temp-folder.js'

test('tensors walks over every tensor in bytewise order of the names', async (t) => {
  const family = await openFamily(await naivePack(tempFolder(t), sampleFamily()))
  t.deepEqual([...family.tasks], ['one', 'two'])
  const expected = naiveUnfold(sampleFamily(), 'one')
  const names: string[] = []
  for await (const tensor of family.tensors('one')) {
    names.push(tensor.name)
    t.true(Buffer.from(tensor.data).equals(expected.get(tensor.name)!.data), tensor.name)
    t.deepEqual(tensor.shape, expected.get(tensor.name)!.shape)
  }
  t.deepEqual(names, [...expected.keys()].sort())
})

test('leaving the loop early ends the walk', async (t) => {
  const family = await openFamily(await naivePack(tempFolder(t), sampleFamily()))
  for await (const tensor of family.tensors('one')) {
    t.is(tensor.name, '__proto__')
    break
  }
  // The files are closed, and another walk starts anew.
  const first = await family.tensors('one').next()
  t.is(first.done, false)
})

test('tensor gives one tensor, ties and extra rows included', async (t) => {
  const family = await openFamily(await naivePack(tempFolder(t), sampleFamily()))
  const expected = naiveUnfold(sampleFamily(), 'one')
  for (const name of ['table', 'tied', 'empty', 'e', 'd', '__proto__']) {
    const tensor = await family.tensor(name, { task: 'one', threads: 1 })
    t.true(Buffer.from(tensor.data).equals(expected.get(name)!.data), name)
  }
})

test('an unknown tensor or task is NOT_FOUND', async (t) => {
  const family = await openFamily(await naivePack(tempFolder(t), sampleFamily()))
  for (const [name, task] of [
    ['head', 'two'],
    ['constructor', 'one'],
    ['a', 'toString'],
  ]) {
    const error = await t.throwsAsync(family.tensor(name!, { task: task! }), { instanceOf: TaskfoldError })
    t.is(error.code, 'NOT_FOUND')
  }
  const walk = await t.throwsAsync(family.tensors('three').next(), { instanceOf: TaskfoldError })
  t.is(walk.code, 'NOT_FOUND')
})

test('a signal ends a walk, and close ends all of them', async (t) => {
  const folder = tempFolder(t)
  const family = await openFamily(await naivePack(join(folder, 'family'), sampleFamily()))
  const stop = new AbortController()
  const walk = family.tensors('one', { signal: stop.signal })
  await walk.next()
  stop.abort()
  const aborted = await t.throwsAsync(
    (async () => {
      for await (const _ of walk);
    })(),
    { instanceOf: TaskfoldError },
  )
  t.is(aborted.code, 'CANCELLED')
  const other = family.tensors('one')
  await other.next()
  family.close()
  family.close()
  const closed = await t.throwsAsync(
    (async () => {
      for await (const _ of other);
    })(),
    { instanceOf: TaskfoldError },
  )
  t.is(closed.code, 'CANCELLED')
  const after = await t.throwsAsync(family.tensor('a', { task: 'one' }), { instanceOf: TaskfoldError })
  t.is(after.code, 'INVALID_ARGUMENT')
  const out = await t.throwsAsync(family.materialize('one', join(folder, 'out')), {
    instanceOf: TaskfoldError,
  })
  t.is(out.code, 'INVALID_ARGUMENT')
})
