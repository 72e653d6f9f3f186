import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { layoutSafetensors } from '../checkpoint/safetensors-layout.js'
import { shardName } from '../checkpoint/shard-layout.js'
import type { MergedTensor } from './merged-tensors.js'

/** One safetensors file of a merged model. */
export interface MergedShard {
  /** Name inside the output folder. */
  name: string
  /** Length prefix and header. */
  header: Uint8Array
  /** Length of the whole file. */
  fileBytes: number
  /** Its tensors in file order, and where each begins. */
  tensors: { tensor: MergedTensor; offset: number }[]
}

/**
 * Lays a merged model out as its base is: the same tensors in the same shards. Tensors that the base lacks lie in the
 * first.
 *
 * @param tensors - all tensors of the model
 * @param base - the base
 * @returns the shards
 * @throws TaskfoldError HEADER_TOO_LARGE
 */
export function planMerged(tensors: ReadonlyMap<string, MergedTensor>, base: Checkpoint): MergedShard[] {
  const own = [...tensors.values()].filter(({ name }) => !base.tensors.has(name))
  return base.files.map((file, i) => {
    const listed = file.tensors.map((name) => tensors.get(name)!)
    const members = i === 0 ? [...listed, ...own] : listed
    const { header, offsets, fileBytes } = layoutSafetensors(members, { ...file.metadata, format: 'pt' })
    const placed = members.map((tensor) => ({ tensor, offset: offsets.get(tensor.name)! }))
    placed.sort((a, b) => a.offset - b.offset)
    const name = base.sharded ? file.name : shardName(i + 1, base.files.length)
    return { name, header, fileBytes, tensors: placed }
  })
}
