import type { ErrorCode } from '../errors/error-codes.js'
import { taskArithmetic } from '../merge/task-arithmetic.js'
import type { ManifestLoraMethod } from '../pack/manifest-types.js'
import type { PlannedTensor } from './plan-tensors.js'
import type {
  AdapterPrediction,
  DtypeConversion,
  FoldPlan,
  PlanNote,
  TaskPrediction,
  Tie,
} from './plan-types.js'

/** The options that decide what a family holds. */
export interface DescribedMethod {
  /** Name of the merge method; null when all tasks are LoRA tasks: nothing of the rest but `lora` applies then. */
  merge: 'task-arithmetic' | null
  /** λ, as a decimal that rounds to the f32 used. */
  lambda: number
  /** m, 0 to 1. */
  density: number
  /** What is ranked together. */
  scope: 'global' | 'tensor'
  /** Storage dtype, or keep. */
  dtype: string
  /** What is done with tables that grew. */
  rows: 'whole' | 'prefix'
  /** What is done with NaN. */
  nonFinite: 'error' | 'keep'
  /** Index code. */
  index: string
  /** Value code. */
  values: string
  /** How ranks of LoRA tasks are chosen; null: there are none. */
  lora: ManifestLoraMethod | null
}

/** One task of a {@link PlanDescription}. */
export interface DescribedTask extends TaskPrediction {
  /** As given. */
  source: string
  /** bytes ÷ originalBytes; null when the original has no bytes. */
  share: number | null
  /** Tensors of each role. */
  tensors: Record<PlannedTensor['kind'], number>
  /** Base tensors that the task lacks. */
  missing: string[]
}

/** One LoRA task of a {@link PlanDescription}. */
export interface DescribedAdapter extends AdapterPrediction {
  /** As given. */
  source: string
  /** bytes ÷ originalBytes; null when the original has no bytes. */
  share: number | null
}

/** One reason why a fold cannot run. */
export interface DescribedProblem {
  /** Stable reason. */
  code: ErrorCode
  /** One line for people. */
  message: string
  /** What to do about it. */
  hint?: string
  /** File at fault. */
  file?: string
  /** Task at fault. */
  task?: string
  /** Tensor at fault. */
  tensor?: string
}

/** A plan as plain data that JSON can hold. All sizes in bytes; predictions are upper bounds. */
export interface PlanDescription {
  /** The base: as given, bytes and number of its tensors. */
  base: {
    /** As given. */
    source: string
    /** Of its tensors. */
    bytes: number
    /** How many. */
    tensors: number
    /** Bytes of its copy in the family; 0: it is only referred to. */
    copiedBytes: number
  }
  /** Absolute path. */
  output: string
  /** Options that decide the bytes. */
  method: DescribedMethod
  /** What is merged. */
  mergeable: {
    /** How many tensors. */
    tensors: number
    /** Their elements. */
    elements: number
  }
  /** The merged checkpoint. */
  merged: {
    /** Of all its files. */
    bytes: number
    /** How many safetensors files. */
    files: number
    /** How many tensors. */
    tensors: number
  }
  /** Full fine-tunes, in task order. */
  tasks: DescribedTask[]
  /** LoRA tasks, in task order. */
  adapters: DescribedAdapter[]
  /** Models whose tensors are converted. */
  conversions: DtypeConversion[]
  /** Names that are stored once. */
  ties: Tie[]
  /** What a user should know. */
  notes: PlanNote[]
  /** Why the fold cannot run; empty when it can. */
  problems: DescribedProblem[]
  /** Sums. */
  totals: {
    /** The whole family. */
    bytes: number
    /** One model, or one adapter, per task. */
    originalBytes: number
    /** Anonymous memory, page cache aside. */
    memoryBytes: number
    /** Free where the output goes; null: unknown. */
    freeBytes: number | null
  }
}

/**
 * Describes a plan for people and programs.
 *
 * @param plan - what {@link planFold} gave
 * @returns plain data
 */
export function describePlan(plan: FoldPlan): PlanDescription {
  const { settings, inputs, predicted, mergedFiles } = plan
  const { lambda, density, scope, dtype, rows, nonFinite, index, values, rankRule, maxRank } = settings
  return {
    base: { ...describeModel(inputs.base), copiedBytes: predicted.baseBytes },
    output: settings.output,
    method: {
      merge: inputs.tasks.length > 0 ? 'task-arithmetic' : null,
      lambda: Number(taskArithmetic.describe({ lambda }).lambda),
      density,
      scope,
      dtype,
      rows,
      nonFinite,
      index,
      values,
      lora: inputs.adapters.length > 0 ? { rule: rankRule, maxRank } : null,
    },
    mergeable: { tensors: plan.mergeable.length, elements: plan.elements },
    merged: {
      bytes: predicted.mergedBytes,
      files: mergedFiles.length,
      tensors: mergedFiles.reduce((sum, file) => sum + file.tensors.length, 0),
    },
    tasks: plan.tasks.map((task, place) => {
      const prediction = predicted.tasks[place]!
      const tensors = { delta: 0, rows: 0, keep: 0, alias: 0 }
      for (const { kind } of task.tensors) tensors[kind] += 1
      return {
        ...prediction,
        source: task.checkpoint.source,
        share: prediction.originalBytes === 0 ? null : prediction.bytes / prediction.originalBytes,
        tensors,
        missing: [...task.missing],
      }
    }),
    adapters: plan.adapters.map(({ adapter }, place) => {
      const prediction = predicted.adapters[place]!
      const share = prediction.originalBytes === 0 ? null : prediction.bytes / prediction.originalBytes
      return { ...prediction, source: adapter.source, share }
    }),
    conversions: plan.conversions.map((conversion) => ({ ...conversion })),
    ties: plan.ties.map(({ of, names }) => ({ of, names: [...names] })),
    notes: plan.notes.map((note) => ({ ...note })),
    problems: plan.problems.map(({ code, message, hint, file, task, tensor }) => ({
      code,
      message,
      hint,
      file,
      task,
      tensor,
    })),
    totals: {
      bytes: predicted.totalBytes,
      originalBytes: [...predicted.tasks, ...predicted.adapters].reduce(
        (sum, task) => sum + task.originalBytes,
        0,
      ),
      memoryBytes: predicted.memoryBytes,
      freeBytes: predicted.freeBytes,
    },
  }
}

function describeModel({ source, totalBytes, tensors }: FoldPlan['inputs']['base']) {
  return { source, bytes: totalBytes, tensors: tensors.size }
}
