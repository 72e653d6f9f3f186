import { stepRate } from './code-rates.js'
import type { ResidualBins } from './residual-bins.js'
import { coarsestStep, finestStep, stepFor } from './step-range.js'

/** A step that gives more than this share of the target is good enough. */
const GOOD_SHARE = 0.99
/** Codings of a task at most: the model is good to a percent, so that the second one nearly always fits; small targets of
 * small models, of which tables and directory are a large part, take more. */
const MAX_ATTEMPTS = 6
/** What the next attempt aims at, so that it does not just miss the target again. */
const AIM = 0.997

/**
 * The step whose stream is as large as a target allows and no larger: predicted from histograms, then corrected by what
 * coding really gave.
 *
 * @param groups - residuals by group of tensors
 * @param deadZone - in steps
 * @param targetBytes - of tables, directory and codes
 * @param encode - codes the task with a step and answers the bytes; what it wrote last is what stays
 * @returns the step and result of the last coding
 */
export async function findStep<T extends { bytes: number }>(
  groups: readonly ResidualBins[],
  deadZone: number,
  targetBytes: number,
  encode: (step: number) => Promise<T>,
): Promise<{ step: number; result: T }> {
  let best: { step: number; result: T } | null = null
  let last: { step: number; result: T } | null = null
  /** The coarsest step that did not fit. */
  let failing = 0
  let aim = 8 * targetBytes
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const step = between(stepFor(groups, deadZone, aim), failing, best?.step ?? Number.POSITIVE_INFINITY)
    const result = await encode(step)
    last = { step, result }
    const fits = result.bytes <= targetBytes
    if (!fits) failing = Math.max(failing, step)
    else if (best === null || result.bytes > best.result.bytes) best = last
    if (fits && (result.bytes >= GOOD_SHARE * targetBytes || step === finestStep(groups))) return last
    if (result.bytes === 0) return last
    // What coding takes beyond the model is about the same share (and, of small models, amount) at a near step.
    const predicted = stepRate(groups, step, deadZone).bits / 8
    aim = 8 * Math.max(0, AIM * targetBytes - (result.bytes - predicted))
  }
  if (best === null) {
    // Tables and directory alone exceed the target: the coarsest step codes nothing.
    const step = coarsestStep(groups, deadZone)
    return { step, result: await encode(step) }
  }
  return best === last ? best : { step: best.step, result: await encode(best.step) }
}

/** A step that was not tried: the proposed one, or the middle of what is left when that lies outside. */
function between(step: number, failing: number, fitting: number): number {
  if (step > failing && step < fitting) return step
  if (fitting === Number.POSITIVE_INFINITY) return Math.fround(failing * 1.2)
  return Math.fround(Math.sqrt(Math.max(failing, fitting / 4) * fitting))
}
