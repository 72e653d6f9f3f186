import type { FloatDtype } from '../binding/binding-types.js'
import type { Checkpoint, Dtype } from '../checkpoint/checkpoint-types.js'
import type { TaskfoldError } from '../errors/taskfold-error.js'
import type { LoraAdapter } from '../lora/adapter-types.js'
import type { BaseMatch } from '../lora/match-base.js'
import type { FoldSettings } from './fold-options.js'
import type { MergeableTensor, MergedFile, PlannedTensor } from './plan-tensors.js'

/** The models that are merged: headers only. */
export interface ModelInputs {
  /** θ0. */
  base: Checkpoint
  /** Full fine-tunes, in the order in which their task vectors are added. */
  tasks: readonly {
    /** Its name in the family. */
    name: string
    /** θt. */
    checkpoint: Checkpoint
  }[]
}

/** The opened inputs of a fold: headers only. */
export interface FoldInputs extends ModelInputs {
  /** LoRA tasks, in the order in which they were given. */
  adapters: readonly {
    /** Its name in the family. */
    name: string
    /** Its factors over θ0. */
    adapter: LoraAdapter
  }[]
}

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

/** One LoRA task of the plan. */
export interface PlannedAdapter {
  /** Its name in the family. */
  name: string
  /** The adapter. */
  adapter: LoraAdapter
  /** Which tensors of the base it changes. */
  match: BaseMatch
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
  kind:
    | 'missing'
    | 'extra'
    | 'mismatch'
    | 'not-float'
    | 'dtype'
    | 'tied'
    | 'scales'
    | 'same-path'
    | 'rows'
    | 'adapter'
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

/** Predicted bytes of a LoRA task's folder, at most. */
export interface AdapterPrediction {
  /** Name of the task. */
  name: string
  /** All files. */
  bytes: number
  /** Factors A and B. */
  factors: number
  /** Tensors that it has whole: modules_to_save, biases. */
  whole: number
  /** Header, configuration and other files. */
  overhead: number
  /** Bytes of the original's tensors. */
  originalBytes: number
  /** Layers. */
  layers: number
  /** Largest rank of a layer of the original. */
  originalRank: number
  /** Largest rank of a layer, at most. */
  rank: number
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
  /** Full fine-tunes, in the order in which their task vectors are added. */
  tasks: readonly PlannedTask[]
  /** LoRA tasks that fit the base, in the order in which they were given. */
  adapters: readonly PlannedAdapter[]
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
    /** As `tasks` of the plan. */
    tasks: readonly TaskPrediction[]
    /** As `adapters` of the plan. */
    adapters: readonly AdapterPrediction[]
    /** merged/ with its configs; 0 when all tasks are LoRA tasks. */
    mergedBytes: number
    /** base/; 0 when the base is not copied. */
    baseBytes: number
    /** The whole family. */
    totalBytes: number
    /** Anonymous memory, page cache aside. */
    memoryBytes: number
    /** Free bytes where the output goes, a partial output of an earlier run counted as free; null: unknown. */
    freeBytes: number | null
  }
}
