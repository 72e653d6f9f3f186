/**
 * Typed mirror of native/addon: the only description of what the .node exports. It and addon.cpp change together.
 *
 * No tensor byte crosses into JavaScript here unless a {@link NativeRegion} is a Uint8Array that the caller made.
 * Every function that returns a promise runs on the engine's own threads and rejects with an Error that carries
 * `code` (an ErrorCode) and, where known, `file`, `tensor`, `index`, `hint` and `operand` ('base', 'merged', 'out', the
 * place of a task in the job, or 'task' where there is one; 'b', 'a', 'matrix', 'minus', 'outB', 'outA').
 */

import type { CodecBinding, CodedDelta } from './codec-types.js'
import type { DeltaRegions, EmitJob, EmitResult, ScatterTensor } from './delta-types.js'
import type { DeviceBinding, NativeDeviceSet } from './device-types.js'
import type { HostBinding } from './host-types.js'
import type { ResidentBinding } from './resident-types.js'
import type { NativeSpill } from './spill-types.js'

export type * from './codec-types.js'
export type * from './delta-types.js'
export type * from './device-types.js'
export type * from './host-types.js'
export type * from './resident-types.js'
export type * from './spill-types.js'

/** Floating dtypes the kernels compute with, by their safetensors names. */
export type FloatDtype = 'F32' | 'F16' | 'BF16' | 'F8_E4M3' | 'F8_E5M2'

/** An open file of the engine. Reads use pread, writes pwrite: no position, no mapping, usable from many jobs. */
export interface NativeFile {
  /** Size in bytes when it was opened. */
  readonly size: number
  /** Path it was opened with. */
  readonly path: string
  /** Closes it once no running job uses it. Idempotent. */
  close(): void
}

/** Raises a flag that running jobs poll at every block (a few milliseconds at most). */
export interface NativeCancelToken {
  cancel(): void
}

/** A byte range of an open file, or memory (any alignment). */
export type NativeRegion = { file: NativeFile; offset: number; length: number } | Uint8Array

/** A tensor as an operand: its bytes and how to read them. length = elements × size of dtype. */
export interface Operand {
  region: NativeRegion
  dtype: FloatDtype
}

/** Common to all jobs. */
export interface JobControl {
  cancel?: NativeCancelToken
  /** Called at most 20 times a second with the bytes read so far by this job. Never called after the promise settled. */
  onProgress?: (bytes: number) => void
  /** Threads at most, the job's own included. Default: the machine's. */
  threads?: number
  /** GPUs to work on, for the jobs that have a kernel there; absent: the CPU. Elementwise jobs give the same bits. */
  device?: NativeDeviceSet
}

/** One tensor of a merge: θ0, the θt in task order, and where θ* goes (null: not stored). */
export interface MergeTensor {
  name: string
  elements: number
  /** Storage dtype: operands of another dtype are converted to it first, round to nearest even. */
  dtype: FloatDtype
  base: Operand
  tasks: Operand[]
  out: NativeRegion | null
}

/** Merge: θ* = fma(λ, Σt(θt − θ0), θ0), rounded to dtype; design.md section 1. */
export interface MergeJob {
  tensors: MergeTensor[]
  /** Rounded to f32 by the caller (Math.fround). */
  lambda: number
  /** Counts |θt − θ*| of all tasks into the current windows in the same pass. */
  selection?: NativeSelection | null
  /** Gets the candidates of all tasks in the same pass; only with a selection, and not used on a device. */
  spill?: NativeSpill | null
  /** 'error' (default): a NaN rejects with NON_FINITE. 'keep': NaN ranks above infinity. */
  nonFinite?: 'error' | 'keep'
}

/** Fingerprints of the bytes seen, 32 hex digits, one per tensor, in job order. */
export interface MergeResult {
  merged: string[]
  base: string[]
}

/** A residual to rank: θ* as stored, and θt of some tasks. */
export interface ResidualTensor {
  name: string
  elements: number
  dtype: FloatDtype
  merged: NativeRegion
  tasks: Operand[]
}

export interface CountJob {
  tensors: ResidualTensor[]
  selection: NativeSelection
  nonFinite?: 'error' | 'keep'
}

/** Samples pages of every tensor before the first full pass, to guess narrow windows. Never changes the result. */
export interface SampleJob {
  tensors: MergeTensor[]
  lambda: number
  selection: NativeSelection
}

/** The exact threshold of one task: kept are all keys > key, and the first `ties` entries (in order) with key == key. */
export interface Threshold {
  /** Bits of |u| as an unsigned 32-bit integer; 0xFFFFFFFF: keep nothing. */
  key: number
  /** Entries equal to key that are still to be kept. */
  ties: number
}

/**
 * Exact k-th largest |u| per task by counting keys inside a window of the key space and narrowing it.
 * Protocol: new → sampleResiduals → (mergeTensors with `selection` over everything) → advance() →
 * while it answers false: countResiduals over everything → advance().
 */
export interface NativeSelection {
  /** Closes a full pass. True: every task's threshold is exact. False: another full pass is needed. */
  advance(): boolean
  /** After advance() answered true. One per task, in task order. */
  thresholds(): Threshold[]
  /** Windows and counts as bytes, for the resume journal. */
  snapshot(): Promise<Uint8Array>
}

/** Plain byte copies (tensors kept whole). Source and target lengths are equal. */
export interface CopyJob {
  copies: { name: string; from: NativeRegion; to: NativeRegion }[]
}

export interface CompareTensor extends Omit<ScatterTensor, 'out'> {
  /** The original to compare with. */
  against: Operand
}

/** Of one tensor: θ̂t as materialised against θt (converted to the storage dtype). */
export interface TensorDifference {
  /** Elements whose bits differ. */
  differing: number
  /** Lowest flat index that differs, −1 if none. */
  firstDifferent: number
  /** max |θ̂t − θt|, as f64. */
  maxAbs: number
  /** Σ (θ̂t − θt)². */
  errorSquared: number
  /** Σ (θt − θ*)². */
  residualSquared: number
  /** Σ θt². */
  originalSquared: number
  /** Kept positions whose stored bits differ from the original's: 0 in an honest pack. */
  keptDiffering: number
}

/** Converts between floating dtypes, round to nearest even. Every NaN becomes the canonical one of the target dtype. */
export interface ConvertJob {
  elements: number
  from: Operand
  to: { region: NativeRegion; dtype: FloatDtype }
}

export interface ConvertResult {
  /** Elements whose value changed (NaN to NaN does not count). */
  inexact: number
}

/** In-memory selection with positions, for the public kernels. */
export interface SelectEntriesJob {
  elements: number
  dtype: FloatDtype
  task: Operand
  /** null: rank |x| itself. */
  merged: NativeRegion | null
  /** Entries to keep, 0…elements. */
  k: number
  nonFinite?: 'error' | 'keep'
}

export interface SelectedEntries {
  /** Flat positions, ascending: Uint32Array below 2^32 elements, else Float64Array. */
  positions: Uint32Array | Float64Array
  /** The task's own bits at these positions, in dtype. */
  values: Uint8Array
  threshold: Threshold
}

/** target[positions[i]] = values[i], in place; positions are checked against elements. */
export interface ScatterEntriesJob {
  target: Uint8Array
  itemSize: 1 | 2 | 4 | 8
  positions: Uint32Array | Float64Array
  values: Uint8Array
}

/** One LoRA product s·B·A, never formed. Conv kernels are flattened: A is [rank, in·kh·kw]. */
export interface LowRankProduct {
  /** B [rows × rank], row-major. */
  b: Operand
  /** A [rank × columns], row-major. */
  a: Operand
  rank: number
  /** s; α/r or α/√r of a LoRA layer, any number within the range of f32. */
  scale: number
}

/** What singular values go into. 'sqrt': B = U·√Σ and A = √Σ·Vᵀ. 'none': B = U and A = Vᵀ, orthonormal. */
export type SvdSplit = 'sqrt' | 'none'

/** A sum of low-rank products, Σ s·B·A [rows × columns], and where its best rank-`keep` factors go. */
export interface ProductLayer {
  name: string
  rows: number
  columns: number
  /** At least one. */
  products: LowRankProduct[]
  /**
   * Rank of the result; components beyond min(rows, columns, Σ rank) are zeros. null: singular values only, and outB and
   * outA must be null.
   */
  keep: number | null
  /** B [rows × keep], rounded to its dtype. */
  outB: Operand | null
  /** A [keep × columns]. */
  outA: Operand | null
}

/**
 * Best rank-q factors of sums of low-rank products: QR of both sides, SVD of the small core in f64 (design.md section 1).
 * NaN or infinity in a factor rejects with NON_FINITE (operand 'a' or 'b', index in that factor), and so does a result
 * that its dtype cannot hold ('outB', 'outA'). Each left vector's sign: the entry of the core's vector with the largest
 * magnitude is positive. The same bits for any number of threads.
 */
export interface TruncateJob {
  layers: ProductLayer[]
  split: SvdSplit
}

/**
 * A dense tensor [rows × columns] with low-rank products added: out = round(base + Σ s·B·A), computed in f32. NON_FINITE:
 * NaN or infinity in a factor ('a', 'b'), or a finite base whose sum `out` cannot hold; a base that is not finite stays.
 */
export interface AddProductsTensor {
  name: string
  rows: number
  columns: number
  base: Operand
  /** `transposed`: the product is [columns × rows] (B [columns × rank], A [rank × rows]) and its transpose is added. */
  products: (LowRankProduct & { transposed: boolean })[]
  /** In any dtype; usually the base's. */
  out: Operand
}

/**
 * Randomized SVD (Halko, Martinsson, Tropp 2011, algorithms 4.4 and 5.1) of one dense matrix, or of a difference of two,
 * read in row blocks: memory is that of some sketches, (rows + columns) × (rank + oversample). With rank + oversample ≥
 * min(rows, columns) the result is exact, from one QR decomposition. NON_FINITE names 'matrix' or 'minus' and the index,
 * or 'outB' or 'outA'. The entry of largest magnitude of each left vector is positive.
 */
export interface RandomizedSvdJob {
  name: string
  rows: number
  columns: number
  /** The matrix, or θt. Row-major. */
  matrix: Operand
  /** θ0, or null. The matrix decomposed is matrix − minus, subtracted in f32. */
  minus: Operand | null
  /** Components wanted: 1 to min(rows, columns). */
  rank: number
  /** Keep only the first components that hold this share of the squared Frobenius norm; null: keep `rank`. */
  energy: number | null
  /** Extra columns of the sketch; it never has more than min(rows, columns). */
  oversample: number
  /** Power iterations. */
  powerIters: number
  /** 0 to 2^53 − 1: the test matrix is the same for the same seed on every machine. */
  seed: number
  split: SvdSplit
  /** [rows × kept] and [kept × columns] go to the front of these regions, which have room for `rank`. */
  outB: Operand
  outA: Operand
}

export interface RandomizedSvdResult {
  /** Components written: `rank`, or fewer by `energy` (at least 1). */
  kept: number
  /** The first `rank` singular values, descending. */
  singularValues: Float64Array
  /** ‖matrix − minus‖² (Frobenius), summed in f64. */
  squaredNorm: number
}

/** The exports of taskfold.node. */
export interface NativeBinding extends CodecBinding, DeviceBinding, HostBinding, ResidentBinding {
  /** flags: 'r' existing, read only; 'w' create or open for reading and writing, never truncates. */
  openFile(path: string, flags: 'r' | 'w'): NativeFile
  /** Sets the length of a 'w' file and reserves its blocks where the file system can. Rejects with DISK_FULL. */
  allocateFile(file: NativeFile, size: number): Promise<void>
  /** fsync. */
  syncFile(file: NativeFile): Promise<void>
  CancelToken: new () => NativeCancelToken
  Selection: {
    /** k and element total of every task; totals count all mergeable elements of the coming passes. */
    new (tasks: { k: number; elements: number }[]): NativeSelection
    restore(snapshot: Uint8Array): Promise<NativeSelection>
  }
  /** Files beside the path, at most so many bytes for each task, in task order. */
  CandidateSpill: new (
    beside: string,
    tasks: { bytes: number }[],
  ) => NativeSpill
  sampleResiduals(job: SampleJob, control: JobControl): Promise<void>
  mergeTensors(job: MergeJob, control: JobControl): Promise<MergeResult>
  countResiduals(job: CountJob, control: JobControl): Promise<void>
  emitDelta(job: EmitJob, control: JobControl): Promise<EmitResult>
  scatterTensors(job: { tensors: ScatterTensor[] }, control: JobControl): Promise<void>
  copyRegions(job: CopyJob, control: JobControl): Promise<void>
  compareTensors(job: { tensors: CompareTensor[] }, control: JobControl): Promise<TensorDifference[]>
  fingerprintRegions(job: { regions: NativeRegion[] }, control: JobControl): Promise<string[]>
  convertRegion(job: ConvertJob, control: JobControl): Promise<ConvertResult>
  selectEntries(job: SelectEntriesJob, control: JobControl): Promise<SelectedEntries>
  scatterEntries(job: ScatterEntriesJob, control: JobControl): Promise<void>
  /** One Float64Array a layer: all min(rows, columns, Σ rank) singular values, descending. */
  truncateProducts(job: TruncateJob, control: JobControl): Promise<Float64Array[]>
  addProducts(job: { tensors: AddProductsTensor[] }, control: JobControl): Promise<void>
  randomizedSvd(job: RandomizedSvdJob, control: JobControl): Promise<RandomizedSvdResult>
}
