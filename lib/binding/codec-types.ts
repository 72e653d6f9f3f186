/** Typed mirror of native/addon: lossy codecs of a task's remainder (docs/FORMAT.md, "Stream codecs"). */

import type { FloatDtype, JobControl, NativeFile, NativeRegion, Operand } from './binding-types.js'

/** Codecs whose remainder is one stream for the whole model. */
export type StreamCodec = 'step'

/** One coded tensor, in the order of the stream. */
export interface CodedTensor {
  /** For errors. */
  name: string
  /** Storage dtype of θ*. */
  dtype: FloatDtype
  /** Of the coded part; a vector has one row. */
  rows: number
  /** Elements are rows × columns. */
  columns: number
}

/** Opens the stream of a task. */
export interface OpenCodedJob {
  /** Which codec. */
  codec: StreamCodec
  /** Δ, an f32 above 0. */
  step: number
  /** All coded tensors, those without elements left out. */
  tensors: CodedTensor[]
  /** Stored arrays; padding behind them is allowed. */
  tables: NativeRegion
  /** As stored. */
  directory: NativeRegion
  /** As stored; read later, its file must stay open as long as the task is used. */
  codes: NativeRegion
}

/** An open stream: tables and directory are read and checked. Immutable; jobs that use it keep it alive. */
export interface NativeCodedTask {
  /** Lets go of it once no running job uses it. Idempotent. */
  close(): void
}

/** A tensor of an open stream, where a job takes a delta. */
export interface CodedDelta {
  /** The open stream. */
  coded: NativeCodedTask
  /** Place among its tensors. */
  tensor: number
}

/** A remainder u = θt − θ* to look at or to code: θ* as stored, or merged on the fly. */
export interface CodecTensor {
  /** For errors. */
  name: string
  /** rows × columns elements are coded. */
  rows: number
  /** A vector has one row. */
  columns: number
  /** Storage dtype of θ*. */
  dtype: FloatDtype
  /** θt. */
  task: Operand
  /** θ*, in `dtype`. */
  merged: NativeRegion
}

/** Counts the magnitudes of residuals. */
export interface HistogramJob {
  /**
   * With `lambdas`: θ* is computed in passing for each of them (design.md section 1), and `merged` is not used; base and
   * tasks are given. All tensors have as many tasks as the histogram.
   */
  tensors: {
    name: string
    elements: number
    dtype: FloatDtype
    /** θ0; null when `merged` is given. */
    base: Operand | null
    tasks: Operand[]
    /** θ* as stored; null when it is computed. */
    merged: NativeRegion | null
    /** Group of histograms that it is counted in. */
    group: number
  }[]
  histogram: NativeHistogram
}

/**
 * Histograms of |θt − θ*| in f32, for each λ, task and group: bin b counts the residuals whose bits >> 16 are b (b < 32 640;
 * 128 bins an octave), NaN and infinity are refused (NON_FINITE). Grows with lambdas × tasks × groups, not with the model.
 */
export interface NativeHistogram {
  /** Number of the first bin that counts anything, and counts from there to the last such; empty: no residuals but zeros. */
  bins(lambda: number, task: number, group: number): { first: number; counts: Float64Array }
  /** Σ u², Σ |u| and Σ θt² over the group, summed in f64 in a fixed order, and its elements. */
  sums(
    lambda: number,
    task: number,
    group: number,
  ): { squared: number; absolute: number; original: number; elements: number }
}

/** What an encoder made of everything that it was given. */
export interface CodedResult {
  /** Bytes of the three arrays, without padding. `codes` was written to the file. */
  tables: Uint8Array
  directory: Uint8Array
  codesBytes: number
  /** Σ (θt − θ̂t)² as decoded and rounded, in f64. */
  errorSquared: number
  /** Σ (θt − θ*)². */
  residualSquared: number
  /** Nonzero codes. */
  kept: number
  /** Entropy of all codes under one memoryless source for each table, in bits: what the stream is measured against. */
  entropyBits: number
}

/**
 * Codes the remainder of one task with a dead-zone quantiser: q = sign(u)·⌊|u|/Δ + 1 − deadZone⌋. Protocol: `countStep` over all
 * tensors in their order (any batches), `prepare()`, `encodeStep` over the same tensors again, `finish()`. Same bytes for any
 * number of threads and any batches.
 */
export interface NativeStepEncoder {
  /** Chooses the tables from what was counted. */
  prepare(): void
  /** After the last batch: writes what waits. Resolves to what was written from the first offset on. */
  finish(): Promise<CodedResult>
}

/** A batch of a step encoder; `out` and `offset` only for `encodeStep`. */
export interface StepJob {
  encoder: NativeStepEncoder
  tensors: CodecTensor[]
}

/** Exports of taskfold.node for lossy codecs. */
export interface CodecBinding {
  openCodedTask(job: OpenCodedJob, control: JobControl): Promise<NativeCodedTask>
  /** One histogram for each λ (at least one; of stored θ* exactly one, ignored), task and group. */
  Histogram: new (shape: {
    lambdas: number[]
    tasks: number
    groups: number
  }) => NativeHistogram
  countHistogram(job: HistogramJob, control: JobControl): Promise<void>
  /** Writes codes to `out` from `offset` on. `tensors`: all that will come, in order (name, rows, columns, dtype). */
  StepEncoder: new (options: {
    step: number
    /** Dead zone in steps, 0.5 to 1; 0.65 is best in frontier.md. */
    deadZone: number
    tensors: CodedTensor[]
    out: NativeFile
    offset: number
  }) => NativeStepEncoder
  countStep(job: StepJob, control: JobControl): Promise<void>
  encodeStep(job: StepJob, control: JobControl): Promise<void>
}
