/** Typed mirror of the part of native/addon that keeps models on a GPU. */

import type { DeltaRegions, FloatDtype, JobControl, NativeRegion } from './binding-types.js'

/** Stored bytes that are copied as they are to byte `at` of the memory they belong to. */
export interface ResidentCopy {
  name: string
  from: NativeRegion
  at: number
}

/** Rows behind those that a delta covers; places of `from` and `saved` are in the task's memory, `at` in θ*'s. */
export interface ResidentTail {
  from: number
  saved: number
  at: number
  length: number
  /** How many of these bytes θ* has: kept at `saved` while the task is entered. */
  overlap: number
}

/** A delta over the tensor of θ* that begins at byte `at`, a multiple of 256. */
export interface ResidentDelta {
  name: string
  at: number
  elements: number
  dtype: FloatDtype
  /** kept > 0. Every position is checked before anything goes to the device. */
  delta: DeltaRegions
}

export interface ResidentTaskJob {
  name: string
  /** Bytes at the front of the task's memory, for `stored` and what tails save. */
  ownBytes: number
  stored: ResidentCopy[]
  tails: ResidentTail[]
  deltas: ResidentDelta[]
  /** Whether tasks that were not used for longest may be dropped when memory is short, the current one at last. */
  drop: boolean
}

export interface ResidentState {
  /** Task whose entries θ*'s memory holds; null: none. */
  current: string | null
  /** Tasks on the device, the most recently used last. */
  loaded: string[]
  /** Device memory held. */
  bytes: number
  mergedAddress: bigint
  /** Of the current task's own memory; 0n without one. */
  taskAddress: bigint
}

/** θ* on one GPU, and tasks. Jobs on it run one after the other; the other calls never wait for them. */
export interface NativeResidentModel {
  /** Rejects with PACK_INVALID, OUT_OF_MEMORY, DEVICE_UNAVAILABLE, CANCELLED or a file's fault; then nothing was added. */
  addTask(job: ResidentTaskJob, control: JobControl): Promise<void>
  /** Takes a task off the device. Rejects with INVALID_ARGUMENT for the current one. */
  dropTask(task: string): Promise<void>
  /** Exchanges entries in place. A failure on the way makes every later job fail with the same error. */
  switchTo(task: string | null, control: JobControl): Promise<void>
  /** Copies out.length bytes of θ*'s memory (task null) or of a task's own to the host. */
  read(job: { task: string | null; at: number; out: NativeRegion }, control: JobControl): Promise<void>
  /** cudaIpcMemHandle_t of that memory, 64 bytes. */
  exportHandle(task: string | null): Promise<Uint8Array>
  /** Address of a DLManagedTensor that whoever takes it over must delete; it keeps the memory allocated. */
  dlpack(job: { task: string | null; at: number; bytes: number; dtype: string; shape: number[] }): bigint
  state(): ResidentState
  /** Gives the memory back once no job and no DLPack tensor uses it. Idempotent; other calls then throw. */
  close(): void
}

/** Exports of taskfold.node for models that stay on a device. */
export interface ResidentBinding {
  /** control.device must hold one GPU, and stays open while the model is. Rejects as addTask does. */
  loadResidentModel(
    job: { bytes: number; copies: ResidentCopy[] },
    control: JobControl,
  ): Promise<NativeResidentModel>
}
