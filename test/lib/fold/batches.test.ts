import test from 'ava'
import { makeBatches } from '../../../lib/fold/batches.js'

const tensor = (elements: number) => ({ dtype: 'F32' as const, elements })
const MiB = 1024 * 1024

test('cuts at 64 MiB and at 256 tensors, and keeps the order', (t) => {
  const sizes = [40, 20, 10, 200, 1].map((mib) => tensor((mib * MiB) / 4))
  t.deepEqual(
    makeBatches(sizes).map((batch) => batch.map(({ elements }) => (elements * 4) / MiB)),
    [[40, 20], [10], [200], [1]],
  )
  t.deepEqual(
    makeBatches(Array.from({ length: 600 }, () => tensor(1))).map(({ length }) => length),
    [256, 256, 88],
  )
  t.deepEqual(makeBatches([]), [])
})

test('single: one tensor each', (t) => {
  t.deepEqual(
    makeBatches([tensor(1), tensor(2)], true).map(({ length }) => length),
    [1, 1],
  )
})
