import type { FloatDtype } from '../binding/binding-types.js'
import { type CodeRate, type SparseCode, solveRate, sparseRate, stepRate } from './code-rates.js'
import type { ResidualBins } from './residual-bins.js'
import type { SizeRow } from './size-plan-types.js'
import { DEFAULT_DEAD_ZONE, stepFor } from './step-range.js'

/** What rows of all tasks share. */
export interface RowShape {
  elements: number
  modelBytes: number
  /** Storage dtype of most merged tensors. */
  dtype: FloatDtype
  targetBits: readonly number[]
  densities: readonly number[]
  /** ‖θt − θ0‖², or null. */
  taskVector: number | null
}

/**
 * Rows of one λ and task: exact at the densities, then every codec at every size.
 *
 * @param place - names of λ and task
 * @param groups - residuals by group of tensors
 * @param shape - of the model and the plan
 * @returns the rows; none for a model without parameters
 */
export function sizeRows(
  place: Pick<SizeRow, 'lambda' | 'task'>,
  groups: readonly ResidualBins[],
  shape: RowShape,
): SizeRow[] {
  const { elements, dtype } = shape
  if (elements === 0) return []
  const energy = groups.reduce((sum, bins) => sum + bins.total.squares, 0)
  const row = (codec: SizeRow['codec'], rate: CodeRate, step: number | null = null): SizeRow => {
    const left = energy === 0 ? 0 : rate.errorSquared / energy
    const bytes = Math.ceil(rate.bits / 8)
    return {
      ...place,
      codec,
      density: rate.kept / elements,
      step,
      bits: rate.bits / elements,
      bytes,
      share: bytes / shape.modelBytes,
      retainedEnergy: 1 - left,
      relativeError: Math.sqrt(left),
      errorOfTaskVector: shape.taskVector ? Math.sqrt(rate.errorSquared / shape.taskVector) : null,
    }
  }
  const exact = shape.densities.map((density) => row('exact', sparseRate('exact', groups, density, dtype)))
  const sized = shape.targetBits.flatMap((bits) => {
    const target = bits * elements
    const sparse = (['exact', 'sign', 'int4'] as const).map((code) =>
      row(code, sparseAt(code, groups, target, dtype)),
    )
    const step = stepFor(groups, DEFAULT_DEAD_ZONE, target)
    return [...sparse, row('step', stepRate(groups, step, DEFAULT_DEAD_ZONE), step)]
  })
  return [...exact, ...sized]
}

function sparseAt(
  code: SparseCode,
  groups: readonly ResidualBins[],
  target: number,
  dtype: FloatDtype,
): CodeRate {
  const rate = (density: number) => sparseRate(code, groups, density, dtype)
  return rate(solveRate((density) => rate(density).bits, target, { least: 0, most: 1 }))
}
