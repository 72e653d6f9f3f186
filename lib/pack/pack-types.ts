import type { CodedTensor, StreamCodec } from '../binding/binding-types.js'
import type { FileRange } from '../binding/native-files.js'
import type { Checkpoint, CheckpointFile } from '../checkpoint/checkpoint-types.js'
import type { Manifest, ManifestExactTask, ManifestTask } from './manifest-types.js'
import type { TaskTensor } from './pack-format.js'

export type { FileRange } from '../binding/native-files.js'

/** Where a delta's arrays lie. */
export interface DeltaArrays {
  value: FileRange
  /** null with index all. */
  index: FileRange | null
  /** null with index all. */
  blocks: FileRange | null
  /** Values int4, else null. */
  scale: FileRange | null
}

/** A {@link TaskTensor} with its name and the file ranges of what is stored for it. */
export type PackTensor = TaskTensor & {
  name: string
  /** Product of shape. */
  elements: number
  /** Bytes of the whole tensor. */
  byteLength: number
  /** Elements that the delta ranks over: all, the first rows' of kind rows, 0 of other kinds. */
  deltaElements: number
  /** Delta file that describes the tensor. */
  describedIn: string
  /** Kinds delta and rows with kept > 0, else null. */
  arrays: DeltaArrays | null
  /** Of a stream codec: its place among the coded tensors; null: it is not coded. */
  coded: number | null
  /** Kind whole: the tensor; kind rows: the rows behind the coded ones; else null. */
  stored: FileRange | null
}

/** A task's remainder as one stream (codec step); only its header has been read. */
export interface PackStream {
  codec: StreamCodec
  /** Δ. */
  step: number
  /** Coded tensors with elements, in bytewise order of their names. */
  tensors: CodedTensor[]
  codes: FileRange
  tables: FileRange
  directory: FileRange
}

/** One task of an open family that is a full fine-tune (codec exact). */
export interface PackTask {
  name: string
  manifest: ManifestExactTask
  /** θ*, which it builds on. */
  merged: Checkpoint
  /** All tensors of the task's model, in bytewise order of their names. */
  tensors: ReadonlyMap<string, PackTensor>
  /** What coded tensors are decoded from; null for other codecs, and when nothing is coded. */
  stream: PackStream | null
  /** Its delta files, in the manifest's order; only headers have been read. */
  files: readonly CheckpointFile[]
}

/** An open family: headers and manifest are read and checked, no tensor is. */
export interface Pack {
  /** The family's folder, absolute. */
  folder: string
  manifest: Manifest
  /** θ*, an ordinary checkpoint; null when all tasks are LoRA tasks. */
  merged: Checkpoint | null
  /** θ0 when it lies in the family, else null. */
  base: Checkpoint | null
  /**
   * A task's entry in the manifest.
   *
   * @throws TaskfoldError NOT_FOUND for a name that the family does not have
   */
  entry(name: string): ManifestTask
  /**
   * Opens one full fine-tune; the result is kept. A LoRA task is an adapter folder, which this room cannot read: see
   * lib/materialize/open-pack-adapter.ts.
   *
   * @throws TaskfoldError NOT_FOUND for a name that the family does not have, INVALID_ARGUMENT for a LoRA task,
   * PACK_INVALID
   */
  task(name: string): Promise<PackTask>
}
