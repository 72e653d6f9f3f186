import type { FloatDtype } from '../binding/binding-types.js'
import type { Checkpoint, Dtype, TensorInfo } from '../checkpoint/checkpoint-types.js'
import type { TaskfoldError } from '../errors/taskfold-error.js'
import type { FoldSettings } from './fold-options.js'

/** The opened inputs of a fold: headers only. */
export interface FoldInputs {
  /** θ0. */
  base: Checkpoint
  /** In the order in which their task vectors are added. */
  tasks: readonly {
    /** Its name in the family. */
    name: string
    /** θt. */
    checkpoint: Checkpoint
  }[]
}

/** A floating tensor that base and all tasks have with one shape (or one row shape, see `rows`). */
export interface MergeableTensor {
  /** Its name in base and tasks. */
  name: string
  /** Storage dtype: the base's, or the one asked for. */
  dtype: FloatDtype
  /** The base's shape: also that of merged/. */
  shape: readonly number[]
  /** Rows that are folded when they are fewer than some model's; null: the whole tensor. */
  rows: number | null
  /** Elements that are folded: those of the common rows. */
  elements: number
  /** It in the base. */
  base: TensorInfo
  /** It in each task, in task order. */
  tasks: readonly TensorInfo[]
}

/** Common to all tensors of merged/. */
export interface MergedTensorFacts {
  /** Its name. */
  name: string
  /** As stored in merged/. */
  dtype: Dtype
  /** The base's. */
  shape: readonly number[]
}

/** θ* of a mergeable tensor; rows beyond the common ones are the base's. */
export interface ComputedTensor extends MergedTensorFacts {
  /** Tells the three kinds apart. */
  kind: 'merge'
  /** What it is made of. */
  tensor: MergeableTensor
}

/** A tensor with the base's bytes. */
export interface CopiedTensor extends MergedTensorFacts {
  /** Tells the three kinds apart. */
  kind: 'copy'
  /** Where the bytes are. */
  base: TensorInfo
}

/** A tensor with the bytes of another tensor of merged/. */
export interface TiedTensor extends MergedTensorFacts {
  /** Tells the three kinds apart. */
  kind: 'tied'
  /** Name of the other tensor. */
  of: string
}

/** Where a tensor of merged/ comes from. */
export type MergedTensor = ComputedTensor | CopiedTensor | TiedTensor

/** One safetensors file of merged/. */
export interface MergedFile {
  /** Inside merged/. */
  name: string
  /** `__metadata__`, format: pt included. */
  metadata: Record<string, string>
  /** In bytewise order of their names. */
  tensors: readonly MergedTensor[]
}

/** Common to all tensors of a task. */
export interface PlannedTensorFacts {
  /** Its name. */
  name: string
  /** It in the task's model. */
  info: TensorInfo
}

/** Kept entries on top of θ*. */
export interface PlannedDelta extends PlannedTensorFacts {
  /** Tells the four kinds apart. */
  kind: 'delta'
  /** What it is folded with. */
  tensor: MergeableTensor
}

/** Kept entries of the first rows; the others whole. */
export interface PlannedRows extends PlannedTensorFacts {
  /** Tells the four kinds apart. */
  kind: 'rows'
  /** What it is folded with. */
  tensor: MergeableTensor
  /** Rows that are folded. */
  rows: number
}

/** Kept whole, or not stored at all when it turns out to equal merged/'s tensor. */
export interface PlannedKeep extends PlannedTensorFacts {
  /** Tells the four kinds apart. */
  kind: 'keep'
  /** True when merged/ has a tensor of the same name, dtype and shape with the base's bytes. */
  maySame: boolean
  /** Why it is not merged. */
  reason: string
}

/** Tied: the bytes of another tensor of the task. */
export interface PlannedAlias extends PlannedTensorFacts {
  /** Tells the four kinds apart. */
  kind: 'alias'
  /** Name of the other tensor. */
  of: string
}

/** What a task stores of one of its tensors. */
export type PlannedTensor = PlannedDelta | PlannedRows | PlannedKeep | PlannedAlias

/** One task of the plan. */
export interface PlannedTask {
  /** Its name in the family. */
  name: string
  /** Its model. */
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
  /** What it is about. */
  kind: 'missing' | 'extra' | 'mismatch' | 'not-float' | 'dtype' | 'tied' | 'scales' | 'same-path' | 'rows'
  /** One line for people. */
  message: string
  /** Task concerned, if it is one. */
  task?: string
  /** Tensor concerned, if it is one. */
  tensor?: string
  /** Bytes that this costs in the task's folder, at most. */
  bytes?: number
}

/** Tensors of one model that are converted to the storage dtype. */
export interface DtypeConversion {
  /** The task, or null for the base. */
  task: string | null
  /** Dtype in the model. */
  from: Dtype
  /** Storage dtype. */
  to: FloatDtype
  /** How many tensors. */
  tensors: number
  /** Elements of these tensors. */
  elements: number
  /** True when every value of `from` is exact in `to`. */
  exact: boolean
}

/** Predicted bytes of a task's folder, at most. */
export interface TaskPrediction {
  /** Name of the task. */
  name: string
  /** All files: values, index, whole tensors, headers, other files. */
  bytes: number
  /** Kept values. */
  values: number
  /** Index and block starts. */
  index: number
  /** Tensors and rows kept whole. */
  whole: number
  /** Headers, padding and other files. */
  overhead: number
  /** Bytes of the original's tensors. */
  originalBytes: number
  /** Entries kept. */
  kept: number
  /** Entries there are to choose from. */
  elements: number
}

/** Everything that is known before a byte of a tensor is read. */
export interface FoldPlan {
  /** Checked options. */
  settings: FoldSettings
  /** The opened models. */
  inputs: FoldInputs
  /** In bytewise order of their names. */
  mergeable: readonly MergeableTensor[]
  /** Σ elements of `mergeable`: n. */
  elements: number
  /** Files of merged/. */
  mergedFiles: readonly MergedFile[]
  /** In the order in which their task vectors are added. */
  tasks: readonly PlannedTask[]
  /** Apparent ties, confirmed byte for byte when the fold starts. */
  ties: readonly Tie[]
  /** Models whose tensors are converted to the storage dtype. */
  conversions: readonly DtypeConversion[]
  /** What a user should know. */
  notes: readonly PlanNote[]
  /** Reasons why this fold cannot run; empty when it can. */
  problems: readonly TaskfoldError[]
  /** Upper bounds, in bytes. */
  predicted: {
    /** In task order. */
    tasks: readonly TaskPrediction[]
    /** merged/ with its configs. */
    mergedBytes: number
    /** The whole family. */
    totalBytes: number
    /** Anonymous memory, page cache aside. */
    memoryBytes: number
    /** Free bytes where the output goes, a partial output of an earlier run counted as free; null: unknown. */
    freeBytes: number | null
  }
}
