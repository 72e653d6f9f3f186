import type { ErrorCode } from '../errors/error-codes.js'
import { taskArithmetic } from '../merge/task-arithmetic.js'
import type { DtypeConversion, FoldPlan, PlanNote, PlannedTensor, TaskPrediction, Tie } from './plan-types.js'

/** A plan as plain data that JSON can hold. All sizes in bytes; predictions are upper bounds. */
export interface PlanDescription {
  base: { source: string; bytes: number; tensors: number }
  /** Absolute path. */
  output: string
  method: {
    merge: 'task-arithmetic'
    lambda: number
    density: number
    scope: 'global' | 'tensor'
    dtype: string
    rows: 'whole' | 'prefix'
    nonFinite: 'error' | 'keep'
    index: string
  }
  /** Tensors that are merged, and their elements. */
  mergeable: { tensors: number; elements: number }
  merged: { bytes: number; files: number; tensors: number }
  tasks: (TaskPrediction & {
    source: string
    /** bytes ÷ originalBytes; null when the original has no bytes. */
    share: number | null
    /** Tensors of each role. */
    tensors: Record<PlannedTensor['kind'], number>
    missing: string[]
  })[]
  conversions: DtypeConversion[]
  ties: Tie[]
  notes: PlanNote[]
  problems: {
    code: ErrorCode
    message: string
    hint?: string
    file?: string
    task?: string
    tensor?: string
  }[]
  totals: { bytes: number; originalBytes: number; memoryBytes: number; freeBytes: number | null }
}

/**
 * Describes a plan for people and programs.
 *
 * @param plan - what {@link planFold} gave
 * @returns plain data
 */
export function describePlan(plan: FoldPlan): PlanDescription {
  const { settings, inputs, predicted, mergedFiles } = plan
  const { lambda, density, scope, dtype, rows, nonFinite, index } = settings
  return {
    base: describeModel(inputs.base),
    output: settings.output,
    method: {
      merge: 'task-arithmetic',
      lambda: Number(taskArithmetic.describe({ lambda }).lambda),
      density,
      scope,
      dtype,
      rows,
      nonFinite,
      index,
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
      originalBytes: predicted.tasks.reduce((sum, task) => sum + task.originalBytes, 0),
      memoryBytes: predicted.memoryBytes,
      freeBytes: predicted.freeBytes,
    },
  }
}

function describeModel({ source, totalBytes, tensors }: FoldPlan['inputs']['base']) {
  return { source, bytes: totalBytes, tensors: tensors.size }
}
