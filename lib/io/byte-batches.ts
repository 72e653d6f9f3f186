/** Where {@link byteBatches} cuts. */
export interface BatchLimits<T> {
  /** Bytes of one batch at most; a larger item is a batch of its own. */
  bytes: number
  /** Items of one batch at most. */
  items: number
  /** Bytes of an item. */
  sizeOf: (item: T) => number
  /** True when an item must not join a batch that begins with `first`. */
  apart?: (first: T, item: T) => boolean
}

/**
 * Cuts a sequence into batches that bound the memory and the time of one step.
 *
 * @param items - in order
 * @param limits - where to cut
 * @returns the batches, none empty; the same for the same items and limits
 */
export function* byteBatches<T>(items: Iterable<T>, limits: BatchLimits<T>): Generator<T[]> {
  let batch: T[] = []
  let bytes = 0
  for (const item of items) {
    const size = limits.sizeOf(item)
    const full = bytes + size > limits.bytes || batch.length === limits.items
    if (batch.length > 0 && (full || limits.apart?.(batch[0]!, item))) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(item)
    bytes += size
  }
  if (batch.length > 0) yield batch
}
