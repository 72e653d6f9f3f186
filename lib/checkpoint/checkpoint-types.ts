import type { FloatDtype } from '../binding/binding-types.js'

/** Dtype names of the safetensors format. */
export type Dtype =
  | FloatDtype
  | 'F64'
  | 'F8_E8M0'
  | 'F8_E4M3FNUZ'
  | 'F8_E5M2FNUZ'
  | 'F6_E2M3'
  | 'F6_E3M2'
  | 'F4'
  | 'BOOL'
  | 'I8'
  | 'U8'
  | 'I16'
  | 'U16'
  | 'I32'
  | 'U32'
  | 'I64'
  | 'U64'
  | 'C64'

/** One tensor of a checkpoint: where its bytes lie. */
export interface TensorInfo {
  /** Name in the checkpoint, unique over all its shards. */
  readonly name: string
  /** How its elements are stored. */
  readonly dtype: Dtype
  /** Row-major extents; [] is a scalar, a 0 makes it empty. */
  readonly shape: readonly number[]
  /** Product of shape. */
  readonly elements: number
  /** Absolute path of the file. */
  readonly file: string
  /** First byte, counted from the start of the file. */
  readonly offset: number
  /** Length in bytes. */
  readonly length: number
}

/** One safetensors file of a checkpoint. */
export interface CheckpointFile {
  /** Absolute path as opened (symbolic links not resolved). */
  readonly path: string
  /** Name inside the checkpoint's folder, as in the index's weight_map. */
  readonly name: string
  /** Size in bytes when the header was read, to notice later changes. */
  readonly size: number
  /** Modification time in milliseconds when the header was read, to notice later changes. */
  readonly mtimeMs: number
  /** `__metadata__`, in file order; empty when absent. */
  readonly metadata: Readonly<Record<string, string>>
  /** Names of its tensors in file order. */
  readonly tensors: readonly string[]
}

/** A map from tensor names to byte ranges in files; only headers have been read. */
export interface Checkpoint {
  /** What the caller asked for: a path, or org/name[@revision]. */
  readonly source: string
  /** Folder of the files, absolute. */
  readonly folder: string
  /** Shards in name order. */
  readonly files: readonly CheckpointFile[]
  /** True when the checkpoint came with model.safetensors.index.json. */
  readonly sharded: boolean
  /** All tensors, in bytewise order of their names. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** Sum of all tensors' lengths in bytes. */
  readonly totalBytes: number
  /** Parsed config.json of the folder, null when absent or when the source was a single file. */
  readonly config: Readonly<Record<string, unknown>> | null
  /**
   * Names (relative, flat and nested) of the folder's other files that belong to the model: configs, tokenizer, code,
   * README. Weight files of any format, indexes, hidden files and optimizer states are left out. [] for a single file.
   */
  readonly otherFiles: readonly string[]
}
