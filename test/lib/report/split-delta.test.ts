import test from 'ava'
import { splitDelta } from '../../../lib/report/split-delta.js'

const file = (name: string, offset: number, length: number) => ({ file: name, offset, length })

test('runs of blocks cover the part, its entries and its index once', (t) => {
  const elements = 65536 * 4 + 10
  for (const index of ['u16', 'bitmap'] as const) {
    const part = {
      tensor: 'a',
      at: 0,
      length: elements * 2,
      from: file('m', 100, elements * 2),
      delta: {
        elements,
        dtype: 'BF16' as const,
        kept: 12,
        index,
        arrays: { value: file('d', 8, 24), index: file('d', 32, 24), blocks: file('d', 56, 24) },
      },
    }
    const runs = splitDelta(part, [0, 3, 3, 9, 11, 12], 65536 * 2 * 2)
    t.deepEqual(
      runs.map((run) => [run.at, run.length, run.from.offset, run.delta!.elements, run.delta!.kept]),
      [
        [0, 262144, 100, 131072, 3],
        [262144, 262144, 262244, 131072, 8],
        [524288, 20, 524388, 10, 1],
      ],
    )
    t.deepEqual(
      runs.map((run) => run.delta!.arrays.value.offset),
      [8, 14, 30],
    )
    t.deepEqual(
      runs.map((run) => [run.delta!.arrays.index.offset, run.delta!.arrays.index.length]),
      index === 'u16'
        ? [
            [32, 6],
            [38, 16],
            [54, 2],
          ]
        : [
            [32, 16384],
            [16416, 16384],
            [32800, 2],
          ],
    )
    t.deepEqual(
      runs.map((run) => [...new Uint32Array((run.delta!.arrays.blocks as Uint8Array).buffer)]),
      [
        [0, 3, 3],
        [0, 6, 8],
        [0, 1],
      ],
    )
  }
})

test('a part that fits is not split', (t) => {
  const part = { tensor: 'a', at: 4, length: 8, from: file('m', 0, 8), delta: null }
  t.deepEqual(splitDelta(part, [], 4), [part])
})
