import { floatBytes } from '../pack/stored-arrays.js'
import type { MergeableTensor } from './plan-types.js'

/** Bytes of one native call: large enough to keep all threads busy, small enough to be redone after a kill. */
const BATCH_BYTES = 64 * 1024 * 1024
const BATCH_TENSORS = 256

/**
 * Cuts tensors into the batches of native calls. A tensor above the limit is a batch of its own.
 *
 * @param tensors - in order
 * @param single - true: every tensor is a batch of its own
 * @returns the batches; the same for the same plan
 */
export function makeBatches<T extends Pick<MergeableTensor, 'dtype' | 'elements'>>(
  tensors: readonly T[],
  single = false,
): T[][] {
  const batches: T[][] = []
  let bytes = 0
  for (const tensor of tensors) {
    const last = batches.at(-1)
    const size = tensor.elements * floatBytes(tensor.dtype)
    if (last === undefined || single || last.length >= BATCH_TENSORS || bytes + size > BATCH_BYTES) {
      batches.push([tensor])
      bytes = size
    } else {
      last.push(tensor)
      bytes += size
    }
  }
  return batches
}
