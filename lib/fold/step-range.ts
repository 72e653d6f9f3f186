import { solveRate, stepRate } from './code-rates.js'
import type { ResidualBins } from './residual-bins.js'

/** Dead zone of codec step when nothing else is asked for. */
export const DEFAULT_DEAD_ZONE = 0.65

/**
 * The smallest Δ whose codes are predicted to take no more than some bits.
 *
 * @param groups - residuals by group of tensors
 * @param deadZone - in steps
 * @param bits - of the codes
 * @returns an f32, between {@link finestStep} and {@link coarsestStep}
 */
export function stepFor(groups: readonly ResidualBins[], deadZone: number, bits: number): number {
  const ends = { least: coarsestStep(groups, deadZone), most: finestStep(groups) }
  if (bits <= 0) return ends.least
  return Math.fround(solveRate((step) => stepRate(groups, step, deadZone).bits, bits, ends))
}

/**
 * A step that leaves everything in the dead zone.
 *
 * @param groups - residuals by group of tensors
 * @param deadZone - in steps
 * @returns an f32 above 0
 */
export function coarsestStep(groups: readonly ResidualBins[], deadZone: number): number {
  const most = largest(groups)
  return most === 0 ? 1 : Math.fround((most / deadZone) * 1.01)
}

/**
 * The finest step worth coding with: its largest code is about 2¹⁵, and codes above 2¹⁶ are cut off.
 *
 * @param groups - residuals by group of tensors
 * @returns an f32 above 0
 */
export function finestStep(groups: readonly ResidualBins[]): number {
  const most = largest(groups)
  return most === 0 ? 1 : Math.max(Math.fround(most * 2 ** -15), 2 ** -126)
}

function largest(groups: readonly ResidualBins[]): number {
  return groups.reduce((most, bins) => Math.max(most, bins.bound), 0)
}
