import test from 'ava'
import { matchTensors } from '../../../lib/fold/match-tensors.js'
import { predictSize } from '../../../lib/fold/predict-size.js'
import { headerCheckpoint } from '../../helpers/header-checkpoint.js'

function predict(density: number, scope: 'global' | 'tensor', index: 'auto' | 'u16' | 'bitmap' = 'auto') {
  const base = headerCheckpoint('base', { a: ['BF16', [800]], b: ['F32', [200]] })
  const task = headerCheckpoint('t', { a: ['BF16', [800]], b: ['F32', [200]], head: ['F32', [7]] })
  const matched = matchTensors(
    { base, tasks: [{ name: 't', checkpoint: task }] },
    { dtype: 'keep', rows: 'whole' },
    [],
  )
  return predictSize(
    matched.tasks[0]!,
    matched.mergeable,
    { density, scope, index, codec: 'exact', target: null },
    1000,
  )
}

test('global: values in the widest dtype, the index as if spread evenly', (t) => {
  const { kept, elements, values, index, whole, originalBytes, bytes } = predict(0.25, 'global')
  t.is(kept, 250)
  t.is(elements, 1000)
  t.is(values, 200 * 4 + 50 * 2)
  t.is(index, 100 + 25 + 2 * 8, 'bitmaps are smaller than 500 bytes of u16')
  t.is(whole, 28)
  t.is(originalBytes, 1600 + 800 + 28)
  t.true(bytes >= values + index + whole + 1000)
})

test('u16 and bitmap cost what they must', (t) => {
  t.is(predict(0.01, 'global').index, 2 * 10 + 16)
  t.is(predict(0.01, 'global', 'bitmap').index, 125 + 16)
  t.is(predict(0.5, 'global', 'u16').index, 1000 + 16)
})

test('nothing kept costs nothing but headers and whole tensors', (t) => {
  for (const scope of ['global', 'tensor'] as const) t.is(predict(0, scope).bytes, 1028)
})

test('tensor: exact counts', (t) => {
  const { kept, values } = predict(0.1, 'tensor')
  t.is(kept, 80 + 20)
  t.is(values, 80 * 2 + 20 * 4)
})
