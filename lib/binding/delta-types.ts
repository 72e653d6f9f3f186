/** Typed mirror of native/addon: deltas of one tensor each, written and read. It and delta_binding.cpp change together. */

import type { FloatDtype, NativeFile, NativeRegion, Operand, Threshold } from './binding-types.js'
import type { CodedDelta } from './codec-types.js'
import type { NativeSpill } from './spill-types.js'

/** Which index code: see docs/FORMAT.md, "Delta files". `all`: every entry is kept, and no position is stored. */
export type IndexCode = 'u16' | 'bitmap' | 'rice' | 'all'

/** What a delta's values are: see docs/FORMAT.md, "Values". */
export type ValueCode = 'plain' | 'coded' | 'sign' | 'int4'

/** Codecs that describe every tensor on its own, by positions and values. */
export type SparseCodec = 'exact' | 'sign' | 'int4'

export interface EmitTensor {
  name: string
  elements: number
  dtype: FloatDtype
  task: Operand
  merged: NativeRegion
}

/**
 * Writes the kept entries of one task, tensor after tensor, from `offset` of `out` on. For each tensor with kept
 * entries: value, then index, blocks and scale where its codes have them, each zero-padded to a multiple of 8 bytes.
 */
export interface EmitJob {
  tensors: EmitTensor[]
  threshold: Threshold
  /** Default exact. */
  codec?: SparseCodec
  /** auto: the smallest, u16 on a tie. `all` is INVALID_ARGUMENT for a tensor that does not keep everything. */
  index: IndexCode | 'auto'
  /** Codec exact only. auto: coded where that saves more than 10 %. Default plain. */
  values?: 'auto' | 'plain' | 'coded'
  out: NativeFile
  offset: number
  /** Codecs sign and int4 can't code what is not finite: NON_FINITE whatever this says. */
  nonFinite?: 'error' | 'keep'
  /** What the merge has set aside, and the task's place in it. */
  spill?: NativeSpill | null
  place?: number
}

/** Where a tensor's delta landed in `out`. Arrays that its codes lack have length 0; kept 0: nothing was written. */
export interface EmittedTensor {
  kept: number
  index: IndexCode
  values: ValueCode
  /** Values sign: an f32. Else null. */
  scale: number | null
  /** Number of 65 536-element blocks; `blocks` holds blockCount + 1 entry starts. */
  blockCount: number
  /** Byte offset in `out` and stored length with padding. */
  value: { offset: number; length: number }
  indexBytes: { offset: number; length: number }
  blocks: { offset: number; length: number }
  /** Values int4: F16 scales. */
  scales: { offset: number; length: number }
}

export interface EmitResult {
  tensors: EmittedTensor[]
  /** Where the next job goes on. */
  offset: number
  /** Ties still to be kept by the next job. */
  ties: number
}

/** A stored delta: its arrays (padding allowed behind each). */
export interface DeltaRegions {
  kept: number
  index: IndexCode
  /** Absent: plain. */
  values?: ValueCode
  /** Values sign: an f32, finite and not negative. */
  scale?: number | null
  /** u32 LE entry starts when kept < 2^32, else u64 LE. null with index all. */
  blocks: NativeRegion | null
  /** null with index all. */
  indexBytes: NativeRegion | null
  value: NativeRegion
  /** Values int4: an F16 for each 64 entries. */
  scales?: NativeRegion | null
}

/** Copies `merged` to `out` and applies the remainder. delta null: a plain copy. */
export interface ScatterTensor {
  name: string
  /** Elements and dtype of the stored tensor. */
  elements: number
  dtype: FloatDtype
  merged: NativeRegion
  delta: DeltaRegions | CodedDelta | null
  /** null: the remainder is decoded and checked, and nothing is written. */
  out: NativeRegion | null
}
