import type { AdapterWarning } from './adapter-types.js'

/** One layer of an adapter before and after its rank was lowered. */
export interface LayerReport {
  /** Module as the adapter names it. */
  module: string
  /** Rows of B·A. */
  rows: number
  /** Columns of B·A; conv kernels flattened. */
  columns: number
  /** Rank before. */
  rankBefore: number
  /** Rank after. */
  rankAfter: number
  /** All singular values of s·B·A, descending. */
  singularValues: number[]
  /** Share of the squared Frobenius norm that is kept: Σ_{i ≤ q} σᵢ² / Σ σᵢ²; 1 for a layer of zeros. */
  retainedEnergy: number
  /** ‖s·B·A − B′·A′‖ / ‖s·B·A‖ before B′ and A′ are rounded to their dtype; 0 for a layer of zeros. */
  relativeError: number
  /** Bytes of A and B before. */
  bytesBefore: number
  /** Bytes of A and B after. */
  bytesAfter: number
}

/** What became of an adapter. */
export interface AdapterReport {
  /** Name of the weights file. */
  fileName: string
  /** Names of all files that were written. */
  files: string[]
  /** Largest rank of a layer. */
  rank: number
  /** In bytewise order of their modules. */
  layers: LayerReport[]
  /** What a user of the adapter should know. */
  warnings: AdapterWarning[]
  /** Bytes of all tensors before. */
  bytesBefore: number
  /** Bytes of all tensors after. */
  bytesAfter: number
}

/** Energy and error over several layers. */
export interface EnergySum {
  /** Σ kept σ² / Σ σ² over all layers; 1 when all are zero. */
  retainedEnergy: number
  /** √(Σ lost σ² / Σ σ²). */
  relativeError: number
}

/**
 * What a truncation keeps.
 *
 * @param singularValues - descending
 * @param rank - components kept
 * @returns squared norms of the kept and of the lost part; the lost part is summed by itself, so that small errors
 * are exact
 */
export function splitEnergy(singularValues: ArrayLike<number>, rank: number): { kept: number; lost: number } {
  let kept = 0
  let lost = 0
  // From the smallest on: the small ones would vanish beside the large ones.
  for (let i = singularValues.length - 1; i >= 0; i--) {
    const squared = singularValues[i]! ** 2
    if (i < rank) kept += squared
    else lost += squared
  }
  return { kept, lost }
}

/**
 * Shares that follow from squared norms.
 *
 * @param kept - squared norm of what is kept
 * @param lost - squared norm of what is lost
 * @returns retained energy and relative error
 */
export function energyShares({ kept, lost }: { kept: number; lost: number }): EnergySum {
  const total = kept + lost
  if (total === 0) return { retainedEnergy: 1, relativeError: 0 }
  return { retainedEnergy: kept / total, relativeError: Math.sqrt(lost / total) }
}

/**
 * Energy and error over all layers of an adapter.
 *
 * @param layers - reports of its layers
 * @returns the sums
 */
export function totalEnergy(layers: readonly Pick<LayerReport, 'singularValues' | 'rankAfter'>[]): EnergySum {
  let kept = 0
  let lost = 0
  for (const { singularValues, rankAfter } of layers) {
    const part = splitEnergy(singularValues, rankAfter)
    kept += part.kept
    lost += part.lost
  }
  return energyShares({ kept, lost })
}
