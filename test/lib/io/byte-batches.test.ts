import test from 'ava'
import { byteBatches } from '../../../lib/io/byte-batches.js'

const cut = (sizes: number[], bytes: number, items: number, apart?: (a: number, b: number) => boolean) => [
  ...byteBatches(sizes, { bytes, items, sizeOf: (size) => size, apart }),
]

test('batches end before the bytes or the items are too many', (t) => {
  t.deepEqual(cut([3, 3, 3, 3], 6, 10), [
    [3, 3],
    [3, 3],
  ])
  t.deepEqual(cut([1, 1, 1, 1, 1], 100, 2), [[1, 1], [1, 1], [1]])
})

test('an item above the limit is a batch of its own', (t) => {
  t.deepEqual(cut([1, 50, 1, 0], 10, 10), [[1], [50], [1, 0]])
})

test('items that must stay apart do', (t) => {
  t.deepEqual(
    cut([1, 3, 2, 4, 5], 100, 100, (a, b) => a % 2 !== b % 2),
    [[1, 3], [2, 4], [5]],
  )
})

test('nothing gives no batch', (t) => {
  t.deepEqual(cut([], 1, 1), [])
})
