import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { divideIntoShards, shardName, writeShardIndex } from '../../../lib/checkpoint/shard-layout.js'
import { tempFolder } from '../../helpers/temp-folder.js'

test('shardName and divideIntoShards', (t) => {
  t.is(shardName(1, 1), 'model.safetensors')
  t.is(shardName(3, 12), 'model-00003-of-00012.safetensors')
  for (const [i, n] of [
    [0, 1],
    [2, 1],
    [1.5, 2],
    [1, 100_000],
  ] as const) {
    t.like(
      t.throws(() => shardName(i, n)),
      { code: 'INVALID_ARGUMENT' },
    )
  }
  const lengths = (list: number[], most: number) =>
    divideIntoShards(
      list.map((length) => ({ length })),
      most,
    ).map((shard) => shard.map(({ length }) => length))
  t.deepEqual(lengths([], 10), [[]])
  t.deepEqual(lengths([0, 0], 10), [[0, 0]])
  t.deepEqual(lengths([5, 5, 1, 20, 0, 3], 10), [[5, 5], [1], [20], [0, 3]])
  t.deepEqual(lengths([20, 1], 10), [[20], [1]])
})

test('writeShardIndex takes an object too', async (t) => {
  const folder = tempFolder(t)
  await writeShardIndex(folder, { a: 'model-00001-of-00002.safetensors' }, 4)
  const index = JSON.parse(readFileSync(join(folder, 'model.safetensors.index.json'), 'utf8'))
  t.deepEqual(index, { metadata: { total_size: 4 }, weight_map: { a: 'model-00001-of-00002.safetensors' } })
  await writeShardIndex(folder, new Map(), 0)
  t.deepEqual(JSON.parse(readFileSync(join(folder, 'model.safetensors.index.json'), 'utf8')).weight_map, {})
})
