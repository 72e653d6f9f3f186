import type { FloatDtype } from '../binding/binding-types.js'
import type { Checkpoint, Dtype, TensorInfo } from '../checkpoint/checkpoint-types.js'
import type { TaskfoldError } from '../errors/taskfold-error.js'
import type { FoldSettings } from './fold-options.js'

/** The opened inputs of a fold: headers only. */
export interface FoldInputs {
  base: Checkpoint
  /** In the order in which their task vectors are added. */
  tasks: readonly { name: string; checkpoint: Checkpoint }[]
}

/** A floating tensor that base and all tasks have with one shape (or one row shape, see `rows`). */
export interface MergeableTensor {
  name: string
  /** Storage dtype: the base's, or the one asked for. */
  dtype: FloatDtype
  /** The base's shape: also that of merged/. */
  shape: readonly number[]
  /** Rows that are folded when they are fewer than some model's; null: the whole tensor. */
  rows: number | null
  /** Elements that are folded: those of the common rows. */
  elements: number
  base: TensorInfo
  /** In task order. */
  tasks: readonly TensorInfo[]
}

/** Where a tensor of merged/ comes from. */
export type MergedTensor = { name: string; dtype: Dtype; shape: readonly number[] } & (
  | { kind: 'merge'; tensor: MergeableTensor } // θ*; rows beyond the common ones are the base's
  | { kind: 'copy'; base: TensorInfo } // the base's bytes
  | { kind: 'tied'; of: string } // the bytes of another tensor of merged/
)

/** One safetensors file of merged/. */
export interface MergedFile {
  /** Inside merged/. */
  name: string
  /** `__metadata__`, format: pt included. */
  metadata: Record<string, string>
  /** In bytewise order of their names. */
  tensors: readonly MergedTensor[]
}

/** What a task stores of one of its tensors. */
export type PlannedTensor = { name: string; info: TensorInfo } & (
  | { kind: 'delta'; tensor: MergeableTensor }
  | { kind: 'rows'; tensor: MergeableTensor; rows: number }
  | { kind: 'keep'; maySame: boolean; reason: string } // whole, or same when it equals merged/'s tensor
  | { kind: 'alias'; of: string }
)

/** One task of the plan. */
export interface PlannedTask {
  name: string
  checkpoint: Checkpoint
  /** Place among the tasks. */
  place: number
  /** Its tensors, in bytewise order of their names. */
  tensors: readonly PlannedTensor[]
  /** Base tensors it lacks. */
  missing: readonly string[]
}

/** Names that hold the same bytes in every model that has them. */
export interface Tie {
  /** The name that is stored. */
  of: string
  /** The others. */
  names: readonly string[]
}

/** Something worth knowing that does not stop the fold. */
export interface PlanNote {
  kind: 'missing' | 'extra' | 'mismatch' | 'not-float' | 'dtype' | 'tied' | 'scales' | 'same-path' | 'rows'
  message: string
  task?: string
  tensor?: string
  /** Bytes that this costs in the task's folder, at most. */
  bytes?: number
}

/** Tensors of one model that are converted to the storage dtype. */
export interface DtypeConversion {
  /** The task, or null for the base. */
  task: string | null
  from: Dtype
  to: FloatDtype
  tensors: number
  elements: number
  /** True when every value of `from` is exact in `to`. */
  exact: boolean
}

/** Predicted bytes of a task's folder, at most. */
export interface TaskPrediction {
  name: string
  /** All files: values, index, whole tensors, headers, other files. */
  bytes: number
  values: number
  /** Index and block starts. */
  index: number
  /** Tensors and rows kept whole. */
  whole: number
  /** Headers, padding and other files. */
  overhead: number
  originalBytes: number
  /** Entries kept, and how many there are to choose from. */
  kept: number
  elements: number
}

/** Everything that is known before a byte of a tensor is read. */
export interface FoldPlan {
  settings: FoldSettings
  inputs: FoldInputs
  /** In bytewise order of their names. */
  mergeable: readonly MergeableTensor[]
  /** Σ elements of `mergeable`: n. */
  elements: number
  mergedFiles: readonly MergedFile[]
  tasks: readonly PlannedTask[]
  /** Apparent ties, confirmed byte for byte when the fold starts. */
  ties: readonly Tie[]
  conversions: readonly DtypeConversion[]
  notes: readonly PlanNote[]
  /** Reasons why this fold cannot run; empty when it can. */
  problems: readonly TaskfoldError[]
  predicted: {
    tasks: readonly TaskPrediction[]
    /** merged/ with its configs. */
    mergedBytes: number
    totalBytes: number
    /** Anonymous memory, page cache aside. */
    memoryBytes: number
    /** Free bytes where the output goes, a partial output of an earlier run counted as free; null: unknown. */
    freeBytes: number | null
  }
}
