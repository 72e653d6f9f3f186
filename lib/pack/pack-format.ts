import type { FloatDtype, IndexCode } from '../binding/binding-types.js'
import type { Dtype } from '../checkpoint/checkpoint-types.js'

/** Constants and types of docs/FORMAT.md. */

/** Written into family.json and every delta file. Readers refuse a greater major number. */
export const FORMAT_VERSION = 1
/** Elements of one block: positions inside a block fit in 16 bits. */
export const BLOCK_ELEMENTS = 65536
/** Every stored array starts at a multiple of this and is zero-padded to it. */
export const ARRAY_ALIGNMENT = 8
/** Bytes of one leaf of a fingerprint's tree. */
export const FINGERPRINT_LEAF_BYTES = 262144

export const MANIFEST_FILE = 'family.json'
export const MERGED_FOLDER = 'merged'
export const TASKS_FOLDER = 'tasks'
/** Key of `__metadata__` in a delta file that holds {@link DeltaHeader} as JSON. */
export const DELTA_METADATA_KEY = 'taskfold'

/**
 * One tensor of a task, in the `__metadata__` of the delta file that holds its bytes.
 *
 * - `delta`: θ* with the listed positions replaced. Arrays are stored as `<stem>.value`, `<stem>.index`, `<stem>.blocks`;
 *   absent when kept is 0.
 * - `whole`: the task's own bytes, stored under `<stem>`, in its own dtype and shape.
 * - `same`: byte for byte the merged checkpoint's tensor of this name; nothing is stored.
 * - `alias`: tied: the same bytes as the task's tensor `of`.
 * - `rows`: the first `rows` rows are like `delta` (of θ*'s first rows), the others are stored under `<stem>.rows`.
 */
export type TaskTensor =
  | { kind: 'delta'; dtype: FloatDtype; shape: number[]; stem: string; kept: number; index: IndexCode }
  | { kind: 'rows'; dtype: FloatDtype; shape: number[]; stem: string; rows: number; kept: number; index: IndexCode }
  | { kind: 'whole'; dtype: Dtype; shape: number[]; stem: string }
  | { kind: 'same'; dtype: Dtype; shape: number[] }
  | { kind: 'alias'; dtype: Dtype; shape: number[]; of: string }

/** JSON under {@link DELTA_METADATA_KEY} of every delta file. */
export interface DeltaHeader {
  /** {@link FORMAT_VERSION} */
  format: number
  /** How the remainder is coded; this release writes and reads `exact`. */
  codec: 'exact'
  task: string
  /** Tensors described by this file, in bytewise order of their names. */
  tensors: Record<string, TaskTensor>
}

/** Size and fingerprint (docs/FORMAT.md, "Fingerprints") of one file's bytes. */
export interface PackFile {
  /** Path inside the family, with '/'. */
  path: string
  bytes: number
  fingerprint: string
}

/** Where a model came from; for people and for `verify --against`. Never needed for decoding. */
export interface PackSource {
  /** As given by the user, made relative to nothing: a path's last component or org/name@revision. */
  name: string
  bytes: number
  /** Only for the base: fingerprint over names, dtypes, shapes and tensor bytes. */
  fingerprint?: string
}

/** One task in family.json. */
export interface ManifestTask {
  name: string
  source: PackSource
  codec: 'exact'
  /** Entries kept over all its delta tensors, and how many there were to choose from. */
  kept: number
  elements: number
  /** Bytes of all its files in the family. */
  bytes: number
  /** Bytes of the original's tensors, for the ratio that people compare. */
  originalBytes: number
  files: PackFile[]
  /** `__metadata__` to give the unfolded files (the original's, with format: pt). */
  metadata: Record<string, string>
  /** Shard of each tensor that the base does not hold; others lie where the base has them. */
  shards?: Record<string, string>
}

/** family.json, written last. */
export interface Manifest {
  taskfold: { format: number; version: string }
  method: {
    merge: 'task-arithmetic'
    /** The f32 value used, as a decimal that rounds back to it. */
    lambda: number
    density: number
    scope: 'global' | 'tensor'
    nonFinite: 'error' | 'keep'
    dtype: 'keep' | 'F32' | 'F16' | 'BF16'
  }
  base: PackSource
  merged: {
    bytes: number
    files: PackFile[]
    /** Fingerprint of every tensor of merged/. */
    tensors: Record<string, string>
  }
  tasks: ManifestTask[]
}
