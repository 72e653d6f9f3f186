/** What {@link verify} found; plain data that JSON can hold. */
export interface VerifyResult {
  /** Absolute path of the family. */
  path: string
  /** Files listed in family.json: all have their recorded size and fingerprint. */
  files: number
  /** Bytes of these files. */
  bytes: number
  /** Tensors of merged/: all have their recorded fingerprint. */
  mergedTensors: number
  /** Files in merged/ and tasks/ that family.json does not list: nothing was checked about them. */
  unlisted: string[]
  /** Every task, in the order of family.json. */
  tasks: VerifiedTask[]
}

/** One task whose delta files follow the format. */
export interface VerifiedTask {
  /** Name of the task. */
  name: string
  /** Number of its tensors. */
  tensors: number
  /** Entries that its deltas keep. */
  kept: number
  /** Comparison with the original; null when none was given. */
  against: TaskComparison | null
}

/** An unfolded task beside its original. */
export interface TaskComparison {
  /** Where the original was read from. */
  source: string
  /** All bits of all tensors are equal. */
  exact: boolean
  /** Elements of floating tensors. */
  elements: number
  /** Those of them whose bits differ. */
  differing: number
  /** Tensors stored in another dtype than the original's; their originals are converted before the comparison. */
  converted: number
  /** Largest |θ̂ − θ| of all elements; null when it is not finite. */
  maxError: number | null
  /** ‖θ̂ − θ‖ / ‖θ‖; null when it is not finite. */
  relativeError: number | null
  /** Share of the remainder's energy that the delta keeps: 1 − Σ(θ̂ − θ)² / Σ(θ − θ*)²; null when not finite. */
  retainedEnergy: number | null
}
