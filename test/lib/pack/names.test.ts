import test from 'ava'
import { deltaFileName, isDeltaFile } from '../../../lib/pack/delta-names.js'
import { chooseStems } from '../../../lib/pack/delta-stems.js'
import { isPackPath } from '../../../lib/pack/pack-path.js'
import { isTaskName } from '../../../lib/pack/task-name.js'

test('task names are those that are safe as folder names', (t) => {
  for (const name of ['a', 'A-1_b.c', '0', 'x'.repeat(64), '-', '_']) t.true(isTaskName(name), name)
  for (const name of [
    '',
    '.a',
    'a..b',
    'a.',
    '.',
    '..',
    'a/b',
    'a\\b',
    'x'.repeat(65),
    'é',
    'a b',
    'a\n',
    'a\0',
    1,
    null,
  ]) {
    t.false(isTaskName(name), String(name))
  }
})

test('pack paths cannot leave their folder', (t) => {
  for (const path of ['a', 'merged/config.json', 'tasks/one/nested/x y.py', 'ünï/ж'])
    t.true(isPackPath(path), path)
  const bad = [
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    'a/../b',
    './a',
    'a/.git',
    '.a',
    'a\\b',
    'C:/a',
    'a\0b',
    'a\nb',
    'a\x7f',
  ]
  for (const path of [...bad, `a/${'x'.repeat(256)}`, 'ab/'.repeat(400), '\ud800', 7, undefined]) {
    t.false(isPackPath(path), String(path))
  }
})

test('delta files are told from other files', (t) => {
  t.is(deltaFileName(0, 1), 'delta.safetensors')
  t.is(deltaFileName(0, 2), 'delta-00001-of-00002.safetensors')
  t.is(deltaFileName(99999, 100000), 'delta-100000-of-100000.safetensors')
  for (const name of [deltaFileName(0, 1), deltaFileName(3, 9), 'delta.safetensors.index.json'])
    t.true(isDeltaFile(name))
  for (const name of ['delta', 'delta-1-of-2.safetensors', 'x/delta.safetensors', 'delta.json'])
    t.false(isDeltaFile(name))
})

test('stems avoid stored names that are taken', (t) => {
  const stems = chooseStems([
    { name: '__metadata__', kind: 'whole' },
    { name: 'a', kind: 'delta' },
    { name: 'a.rows', kind: 'whole' },
    { name: 'a.value', kind: 'whole' },
    { name: 'a.value~1', kind: 'delta' },
    { name: 'b', kind: 'same' },
    { name: 'c', kind: 'alias' },
    { name: 'd', kind: 'rows' },
    { name: 'd.rows', kind: 'whole' },
  ])
  t.deepEqual(Object.fromEntries(stems), {
    __metadata__: '__metadata__~1',
    a: 'a',
    'a.rows': 'a.rows',
    'a.value': 'a.value~1',
    'a.value~1': 'a.value~1',
    d: 'd',
    'd.rows': 'd.rows~1',
  })
})
