import type { NativeHistogram } from '../binding/binding-types.js'

const scratch = new DataView(new ArrayBuffer(4))

/** Number of the bin that counts a magnitude: its f32 bits >> 16. */
function binOf(magnitude: number): number {
  scratch.setFloat32(0, magnitude)
  return scratch.getUint32(0) >>> 16
}

/** Smallest magnitude of a bin. */
function edgeOf(bin: number): number {
  scratch.setUint32(0, bin << 16)
  return scratch.getFloat32(0)
}

/** How many magnitudes lie below a bound, and the sums of them and of their squares. */
export interface BelowBound {
  count: number
  sum: number
  squares: number
}

/**
 * The magnitudes of residuals as a histogram with 128 bins an octave: what lies below any bound, by prefix sums and, inside a
 * bin, as if its magnitudes were spread evenly. Good to about 0.01 % of the sums; memory does not grow with the model.
 */
export class ResidualBins {
  /** All residuals, zeros included. */
  readonly elements: number
  readonly #first: number
  readonly #counts: Float64Array
  /** Prefix sums: entry i is over the bins in front of bin first + i. */
  readonly #count: Float64Array
  readonly #sum: Float64Array
  readonly #squares: Float64Array

  /**
   * @param bins - number of the first bin with residuals, and the counts from it on
   * @param elements - residuals in all; those that no bin counts are zeros
   */
  constructor({ first, counts }: { first: number; counts: Float64Array }, elements: number) {
    const bins = counts.length
    this.elements = elements
    this.#first = first
    this.#counts = counts
    this.#count = new Float64Array(bins + 1)
    this.#sum = new Float64Array(bins + 1)
    this.#squares = new Float64Array(bins + 1)
    for (let i = 0; i < bins; i++) {
      const low = edgeOf(first + i)
      const part = evenly(counts[i]!, low, edgeOf(first + i + 1))
      this.#count[i + 1] = this.#count[i]! + part.count
      this.#sum[i + 1] = this.#sum[i]! + part.sum
      this.#squares[i + 1] = this.#squares[i]! + part.squares
    }
  }

  /**
   * Reads one group of a native histogram.
   *
   * @param histogram - after all its tensors were counted
   * @param place - λ, task and group
   * @returns the group's residuals
   */
  static of(
    histogram: NativeHistogram,
    { lambda, task, group }: { lambda: number; task: number; group: number },
  ): ResidualBins {
    return new ResidualBins(histogram.bins(lambda, task, group), histogram.sums(lambda, task, group).elements)
  }

  /** Σ over all residuals. */
  get total(): BelowBound {
    const last = this.#counts.length
    return { count: this.elements, sum: this.#sum[last]!, squares: this.#squares[last]! }
  }

  /** Smallest f32-aligned bound above all magnitudes; 0 when all are zeros. */
  get bound(): number {
    return this.#counts.length === 0 ? 0 : edgeOf(this.#first + this.#counts.length)
  }

  /**
   * What lies in [0, bound).
   *
   * @param bound - a magnitude, in the units of the weights
   * @returns count with zeros, Σ |u|, Σ u²
   */
  below(bound: number): BelowBound {
    const uncounted = this.elements - this.#count[this.#counts.length]!
    if (!(bound > 0)) return { count: 0, sum: 0, squares: 0 }
    const i = binOf(bound) - this.#first
    if (i < 0) return { count: uncounted, sum: 0, squares: 0 }
    if (i >= this.#counts.length) return { ...this.total, count: this.elements }
    const low = edgeOf(this.#first + i)
    const width = edgeOf(this.#first + i + 1) - low
    const part = evenly((this.#counts[i]! * (bound - low)) / width, low, bound)
    return {
      count: uncounted + this.#count[i]! + part.count,
      sum: this.#sum[i]! + part.sum,
      squares: this.#squares[i]! + part.squares,
    }
  }

  /**
   * The bound that `kept` magnitudes reach or exceed.
   *
   * @param kept - how many of the largest
   * @returns the threshold; 0 when all residuals but zeros are kept
   */
  threshold(kept: number): number {
    let left = kept
    for (let i = this.#counts.length - 1; i >= 0; i--) {
      const count = this.#counts[i]!
      if (left <= count) {
        const low = edgeOf(this.#first + i)
        const high = edgeOf(this.#first + i + 1)
        return count === 0 ? high : high - ((high - low) * left) / count
      }
      left -= count
    }
    return 0
  }
}

/** Sums of `count` magnitudes spread evenly over [low, high). */
function evenly(count: number, low: number, high: number): BelowBound {
  return {
    count,
    sum: (count * (low + high)) / 2,
    squares: (count * (low * low + low * high + high * high)) / 3,
  }
}
