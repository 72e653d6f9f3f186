import test from 'ava'
import { parseBaseReference } from '../../../lib/pack/base-reference.js'

test('a path from the family leads out of it first, then down', (t) => {
  for (const path of ['..', '../..', '../base', '../../models/base.safetensors', '../.cache/a b/c:d'])
    t.deepEqual(parseBaseReference(path), { kind: 'path', path })
})

test('anything else is a repository', (t) => {
  for (const source of ['org/name', 'org/name@main', `org/name@${'a'.repeat(40)}`])
    t.deepEqual(parseBaseReference(source), { kind: 'hub', source })
})

test('what could lead elsewhere, or is no text, is neither', (t) => {
  const hostile = [
    ...[
      '',
      '.',
      '/',
      '/etc',
      './x',
      'base',
      'a/b/c',
      '..x',
      '...',
      '../',
      '../a/',
      '../a//b',
      '../a/../b',
      '../a/.',
    ],
    ...['../a/..', '../\0', '../a\nb', '../a\\b', '..\\a', '~/x', 'org/na me', `../${'a'.repeat(5000)}`],
    ...[null, undefined, 1, {}, [], true],
  ]
  for (const reference of hostile) t.is(parseBaseReference(reference), null, JSON.stringify(reference))
})
