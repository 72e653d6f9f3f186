import type { RemainderCodec } from '../pack/manifest-types.js'
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

/** One task whose files follow the format. */
export interface VerifiedTask {
  /** Name of the task. */
  name: string
  /** exact: a full fine-tune; lora: an adapter. */
  codec: RemainderCodec | 'lora'
  /** Number of its tensors; of a LoRA task those of the adapter. */
  tensors: number
  /** Entries that its deltas keep; null for a LoRA task. */
  kept: number | null
  /** Layers of a LoRA task; null for a full fine-tune. */
  layers: number | null
  /** Comparison with the original; null when none was given. */
  against: TaskComparison | null
}

/** An unfolded task beside its original. */
export interface TaskComparison {
  /** Where the original was read from. */
  source: string
  /**
   * All bits of all tensors are equal. Of a LoRA task: no layer has a lower rank than the original's product can have, no
   * layer's relative error is above 1e-6 (the rounding of F32 factors), and the tensors it has whole are equal.
   */
  exact: boolean
  /** Elements of floating tensors; 0 for a LoRA task, whose products are never formed. */
  elements: number
  /** Those of them whose bits differ. */
  differing: number
  /** Tensors stored in another dtype than the original's; their originals are converted before the comparison. */
  converted: number
  /** Largest |θ̂ − θ| of all elements; null when it is not finite, and for a LoRA task. */
  maxError: number | null
  /** ‖θ̂ − θ‖ / ‖θ‖, of a LoRA task ‖ΔŴ − ΔW‖ / ‖ΔW‖ over all layers; null when it is not finite. */
  relativeError: number | null
  /** Share of the remainder's energy that the delta keeps: 1 − Σ(θ̂ − θ)² / Σ(θ − θ*)²; null when not finite. */
  retainedEnergy: number | null
  /** Every layer of a LoRA task; null for a full fine-tune. */
  layers: LayerComparison[] | null
}

/** A stored layer ΔŴ beside the original's ΔW = s·B·A. */
export interface LayerComparison {
  /** As the adapter names it. */
  module: string
  /** Rank of the original. */
  originalRank: number
  /** Rank of what is stored. */
  rank: number
  /** ‖ΔŴ − ΔW‖ / ‖ΔW‖ (Frobenius), rounding of the stored factors included; null when ΔW is zero and ΔŴ is not. */
  relativeError: number | null
  /** 1 − ‖ΔŴ − ΔW‖² / ‖ΔW‖², at least 0; null like relativeError. */
  retainedEnergy: number | null
}
