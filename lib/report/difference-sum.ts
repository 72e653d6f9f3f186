import type { TensorDifference } from '../binding/binding-types.js'
import type { TaskComparison } from './verify-types.js'

/** Adds up the differences of a task's tensors. */
export class DifferenceSum {
  /** Tensors whose original has another dtype. */
  converted = 0
  /** True when a tensor that is no float differs. */
  differentBytes = false
  #elements = 0
  #differing = 0
  #maxAbs = 0
  #error = 0
  #residual = 0
  #original = 0

  /**
   * Adds one tensor, or a part of one.
   *
   * @param difference - what native code found
   * @param elements - how many elements were compared
   */
  add(difference: TensorDifference, elements: number): void {
    this.#elements += elements
    this.#differing += difference.differing
    // Math.max keeps a NaN, which the result shows as null.
    this.#maxAbs = Math.max(this.#maxAbs, difference.maxAbs)
    this.#error += difference.errorSquared
    this.#residual += difference.residualSquared
    this.#original += difference.originalSquared
  }

  /**
   * The sums of all tensors.
   *
   * @param source - where the original was read from
   * @returns the comparison
   */
  result(source: string): TaskComparison {
    return {
      source,
      layers: null,
      exact: this.#differing === 0 && this.converted === 0 && !this.differentBytes,
      elements: this.#elements,
      differing: this.#differing,
      converted: this.converted,
      maxError: finite(this.#maxAbs),
      relativeError: this.#error === 0 ? 0 : finite(Math.sqrt(this.#error / this.#original)),
      retainedEnergy: this.#error === 0 ? 1 : finite(1 - this.#error / this.#residual),
    }
  }
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null
}
