import type { FloatDtype, IndexCode, SparseCodec, ValueCode } from '../binding/binding-types.js'
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
/** A copy of θ0, for families with LoRA tasks that were folded with it. */
export const BASE_FOLDER = 'base'
export const TASKS_FOLDER = 'tasks'
/** Key of `__metadata__` in a delta file that holds {@link DeltaHeader} as JSON. */
export const DELTA_METADATA_KEY = 'taskfold'

/**
 * One tensor of a task, in the `__metadata__` of the delta file that holds its bytes.
 *
 * - `delta`: θ* with the listed positions replaced (codec exact) or added to. Arrays are stored as `<stem>.value`,
 *   `<stem>.index`, `<stem>.blocks`, `<stem>.scale`, as far as the codes have them; absent when kept is 0.
 * - `whole`: the task's own bytes, stored under `<stem>`, in its own dtype and shape.
 * - `same`: byte for byte the merged checkpoint's tensor of this name; nothing is stored.
 * - `alias`: tied: the same bytes as the task's tensor `of`.
 * - `rows`: the first `rows` rows are like `delta` (of θ*'s first rows), the others are stored under `<stem>.rows`.
 */
export type TaskTensor =
  | {
      /** θ* with positions replaced. */
      kind: 'delta'
      /** Floating, the same as θ*'s. */
      dtype: FloatDtype
      /** Of the unfolded tensor. */
      shape: number[]
      /** Name of the stored arrays, without their suffixes. */
      stem: string
      /** Entries stored. */
      kept: number
      /** How their positions are coded. */
      index: IndexCode
      /** How their values are coded; absent: plain. */
      values?: ValueCode
      /** Values sign: all are this or its negative. An f32, not negative. */
      scale?: number
    }
  | {
      /** θ* with positions replaced, and more rows behind it. */
      kind: 'rows'
      /** Floating, the same as θ*'s. */
      dtype: FloatDtype
      /** Of the unfolded tensor. */
      shape: number[]
      /** Name of the stored arrays, without their suffixes. */
      stem: string
      /** Leading rows that are coded like a delta. */
      rows: number
      /** Entries stored. */
      kept: number
      /** How their positions are coded. */
      index: IndexCode
      /** How their values are coded; absent: plain. */
      values?: ValueCode
      /** Values sign: all are this or its negative. An f32, not negative. */
      scale?: number
    }
  | {
      /** The stored tensor. */
      kind: 'whole'
      /** Of the unfolded tensor. */
      dtype: Dtype
      /** Of the unfolded tensor. */
      shape: number[]
      /** Name of the stored tensor. */
      stem: string
    }
  | {
      /** θ*'s tensor. */
      kind: 'same'
      /** Of the unfolded tensor. */
      dtype: Dtype
      /** Of the unfolded tensor. */
      shape: number[]
    }
  | {
      /** Tied to another tensor. */
      kind: 'alias'
      /** Of the unfolded tensor. */
      dtype: Dtype
      /** Of the unfolded tensor. */
      shape: number[]
      /** Name of the task's tensor that it is tied to. */
      of: string
    }

/** JSON under {@link DELTA_METADATA_KEY} of every delta file. */
export interface DeltaHeader {
  /** {@link FORMAT_VERSION} */
  format: number
  /** How the remainder is coded. */
  codec: SparseCodec
  task: string
  /** Tensors described by this file, in bytewise order of their names. */
  tensors: Record<string, TaskTensor>
}

/** Name of a task's delta when it is one file; several are `delta-00001-of-0000N.safetensors` and an index. */
export const DELTA_FILE = 'delta.safetensors'
/** Index of a task whose delta has several files. */
export const DELTA_INDEX_FILE = 'delta.safetensors.index.json'
/** Limit of the safetensors format on a header, without its 8-byte length. */
export const MAX_HEADER_BYTES = 100_000_000
/** Weights of a LoRA task, as PEFT names them. */
export const ADAPTER_FILE = 'adapter_model.safetensors'
/** Configuration of a LoRA task, as PEFT names it. */
export const ADAPTER_CONFIG_FILE = 'adapter_config.json'
