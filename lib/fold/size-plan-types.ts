import type { OnProgress } from '../io/progress.js'
import type { TaskInput } from './fold-options.js'

/** What {@link planSizes} is asked to do. */
export interface SizePlanOptions {
  /** θ0: a file, a folder, or org/name[@revision] in the local cache. */
  base: string
  /** Full fine-tunes of it; a record of name to path is one too. */
  tasks: readonly TaskInput[] | Readonly<Record<string, string>>
  /** Scaling coefficients to compare; 'average' is 1 / number of tasks. Default 0, 'average', 0.1, 0.3. */
  lambdas?: readonly (number | 'average')[]
  /** Sizes to compare all codecs at, in bits per merged parameter and task. Default 0.1, 0.25, 0.5, 1, 2. */
  targetBits?: readonly number[]
  /** Densities to show codec exact at, too. Default 0.01, 0.05, 0.1. */
  densities?: readonly number[]
  /** Storage dtype of merged tensors. 'keep' (default): the base's. */
  dtype?: 'keep' | 'f32' | 'f16' | 'bf16'
  /** Tables that grew: 'whole' (default) keeps them per task, 'prefix' folds the common rows. */
  rows?: 'whole' | 'prefix'
  /** Threads at most. Default: the machine's. */
  threads?: number
  /** Hugging Face cache to look up org/name in. */
  cacheDir?: string
  /** Stops it within a second. */
  signal?: AbortSignal
  /** Called at most 20 times a second. */
  onProgress?: OnProgress
}

/** One λ of a plan. */
export interface PlanLambda {
  /** For people. */
  name: string
  /** An f32 value. */
  value: number
}

/** What one codec would make of one task at one size. Predicted, to about one percent. */
export interface SizeRow {
  /** Name of λ. */
  lambda: string
  /** Name of the task. */
  task: string
  /** Codec of `fold`. */
  codec: 'exact' | 'sign' | 'int4' | 'step'
  /** Share of the entries that are not zero. */
  density: number
  /** Δ of codec step. */
  step: number | null
  /** Bits per merged parameter. */
  bits: number
  /** Bytes of the remainder; heads, headers and other files come on top. */
  bytes: number
  /** Of the merged tensors' bytes. */
  share: number
  /** 1 − ‖θt − θ̂t‖² ÷ ‖θt − θ*‖². */
  retainedEnergy: number
  /** ‖θt − θ̂t‖ ÷ ‖θt − θ*‖. */
  relativeError: number
  /** ‖θt − θ̂t‖ ÷ ‖θt − θ0‖, comparable between λ; null when λ = 0 is not in the plan. */
  errorOfTaskVector: number | null
}

/** Result of {@link planSizes}. */
export interface SizePlan {
  /** Merged parameters. */
  elements: number
  /** Bytes of the merged tensors in the storage dtype. */
  modelBytes: number
  /** Merged tensors. */
  tensors: number
  /** Names of the tasks. */
  tasks: string[]
  /** What was compared. */
  lambdas: PlanLambda[]
  /** By λ, task, codec and size. */
  rows: SizeRow[]
}
