import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { shardName } from '../checkpoint/shard-layout.js'
import { isPackPath } from '../pack/pack-path.js'
import type { MergedFile, MergedTensor } from './plan-tensors.js'

/**
 * Lays merged/ out as the base is: the same shards with the same tensors in each.
 *
 * @param base - the base, whose shard names were checked when it was opened
 * @param merged - all its tensors, in bytewise order
 * @returns the files of merged/
 */
export function planMergedFiles(base: Checkpoint, merged: readonly MergedTensor[]): MergedFile[] {
  // Shard names come from a file; one that is no plain path everywhere gets the usual name instead.
  const plain = base.files.every(
    ({ name }) => isPackPath(name) && !name.includes('/') && /\.safetensors$/.test(name),
  )
  return base.files.map((file, i) => {
    const names = new Set(file.tensors)
    return {
      name: base.sharded && plain ? file.name : shardName(i + 1, base.files.length),
      metadata: { ...file.metadata, format: 'pt' },
      tensors: merged.filter((tensor) => names.has(tensor.name)),
    }
  })
}
