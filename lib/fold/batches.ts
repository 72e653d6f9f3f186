import { byteBatches } from '../io/byte-batches.js'
import { floatBytes } from '../pack/stored-arrays.js'
import type { MergeableTensor } from './plan-tensors.js'

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
  return [
    ...byteBatches(tensors, {
      bytes: BATCH_BYTES,
      items: single ? 1 : BATCH_TENSORS,
      sizeOf: (tensor) => tensor.elements * floatBytes(tensor.dtype),
    }),
  ]
}
