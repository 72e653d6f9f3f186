import type { FloatDtype } from '../binding/binding-types.js'
import type { Dtype, TensorInfo } from '../checkpoint/checkpoint-types.js'

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
