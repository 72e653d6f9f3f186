/** Typed mirror of the part of native/addon that keeps models in the host's memory. */

import type { FloatDtype, JobControl, ScatterTensor } from './binding-types.js'

/** A tensor's entries, grouped by blocks of 65 536 elements. */
export interface EntryArrays {
  /** u64 [blocks + 1], aligned to 8: where each block's entries start; the last is their number. */
  starts: Uint8Array
  /** u16 [entries], aligned to 2: positions inside the block, ascending. */
  positions: Uint8Array
  /** Items of the tensor's dtype [entries], aligned to them. */
  values: Uint8Array
}

/** A tensor's stored remainder, as scatterTensors takes it, and where its entries go. */
export interface CountTensor extends Pick<ScatterTensor, 'name' | 'elements' | 'merged'> {
  /** Storage dtype of θ*. */
  dtype: FloatDtype
  /** Never null. */
  delta: ScatterTensor['delta']
  /** As {@link EntryArrays} has it. */
  starts: Uint8Array
}

/** What one task changes of a tensor. */
export interface ExchangeLayer extends Partial<EntryArrays> {
  /** Elements that the entries are grouped over, from the first on; 0: no entries, and no arrays. */
  elements: number
  /** Bytes to exchange with those from byte `at` on; null: none. They don't overlap the entries. */
  bytes: Uint8Array | null
  at: number
}

/** A tensor in memory. */
export interface ExchangeTensor {
  name: string
  /** Aligned to its items; may lie in a SharedArrayBuffer. */
  target: Uint8Array
  itemSize: 1 | 2 | 4 | 8
  /** Exchanged one after the other: first what leaves, then what enters. */
  layers: ExchangeLayer[]
}

/** Exports of taskfold.node for models in the host's memory. */
export interface HostBinding {
  /** Fills `starts`. Rejects with PACK_INVALID, CANCELLED or a file's fault. */
  countEntries(job: { tensors: CountTensor[] }, control: JobControl): Promise<void>
  /** Fills `positions` and `values` of what was counted. Rejects as countEntries does. */
  collectEntries(job: { tensors: (CountTensor & EntryArrays)[] }, control: JobControl): Promise<void>
  /**
   * Exchanges in place what the layers hold with what the tensors hold; the same call again undoes it. Can't be cancelled.
   * Rejects with INVALID_ARGUMENT before anything changed, or with INTERNAL when the arrays were overwritten.
   */
  exchangeEntries(job: { tensors: ExchangeTensor[] }, control: JobControl): Promise<void>
  /** An ArrayBuffer over the same memory, which it keeps alive. Throws where the runtime forbids such buffers. */
  unsharedBuffer(memory: Uint8Array): ArrayBuffer
  /** Asks the system for large pages under this memory; without effect where there are none. */
  adviseHugePages(memory: Uint8Array): void
}
