import type { SparseCodec } from '../binding/binding-types.js'
import type { Dtype } from '../checkpoint/checkpoint-types.js'
import { DELTA_METADATA_KEY, FORMAT_VERSION, type TaskTensor } from './pack-format.js'
import { stableJson } from './stable-json.js'

/** One stored tensor as it stands in a delta file's header. */
export interface StoredEntry {
  name: string
  dtype: Dtype
  shape: readonly number[]
  /** From the end of the header. */
  begin: number
  end: number
}

/**
 * JSON of a delta file's header, without length prefix and padding. Its bytes depend on the arguments alone.
 *
 * @param task - name of the task
 * @param tensors - described tensors, in bytewise order of their names
 * @param stored - stored tensors, in file order
 * @param codec - of the task
 * @returns the header's text
 */
export function renderDeltaHeader(
  task: string,
  tensors: readonly (readonly [string, TaskTensor])[],
  stored: readonly StoredEntry[],
  codec: SparseCodec = 'exact',
): string {
  const described = new Map(tensors.map(([name, tensor]) => [name, describe(name, tensor)]))
  const delta = stableJson({ format: FORMAT_VERSION, codec, task, tensors: described })
  const entries = new Map<string, unknown>([['__metadata__', new Map([[DELTA_METADATA_KEY, delta]])]])
  for (const { name, dtype, shape, begin, end } of stored) {
    entries.set(name, { dtype, shape, data_offsets: [begin, end] })
  }
  return stableJson(entries)
}

/** A stem equal to the name is left out: in a small family headers are a fair share of the bytes. */
function describe(name: string, tensor: TaskTensor): TaskTensor {
  if (!('stem' in tensor) || tensor.stem !== name) return tensor
  const { stem: _, ...rest } = tensor
  return rest as TaskTensor
}
