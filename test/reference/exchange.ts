/** What one task changes of a tensor, in plain numbers. */
export interface PlainLayer {
  /** Flat positions, and the item that waits for each. */
  positions: number[]
  /** Bytes of the items, one after the other. */
  values: Uint8Array
  /** Bytes to exchange from `at` on. */
  bytes: Uint8Array
  at: number
}

/**
 * Exchanges a tensor's bytes with those of layers, one entry after the other.
 *
 * @param target - changed in place
 * @param item - bytes of an element
 * @param layers - changed in place, first to last
 */
export function exchangeReference(target: Uint8Array, item: number, layers: readonly PlainLayer[]): void {
  const swap = (at: number, other: Uint8Array, from: number) => {
    const old = target[at]!
    target[at] = other[from]!
    other[from] = old
  }
  for (const { positions, values, bytes, at } of layers) {
    for (const [i, position] of positions.entries()) {
      for (let b = 0; b < item; b++) swap(position * item + b, values, i * item + b)
    }
    for (let b = 0; b < bytes.length; b++) swap(at + b, bytes, b)
  }
}
