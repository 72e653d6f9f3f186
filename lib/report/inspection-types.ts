import type {
  Manifest,
  ManifestLayer,
  ManifestLoss,
  PackSource,
  RemainderCodec,
} from '../pack/manifest-types.js'
import type { TaskTensor } from '../pack/pack-format.js'
import type { AdapterInspection } from './adapter-inspection.js'

/** What {@link inspect} finds: tell them apart by `kind`. */
export type Inspection = FamilyInspection | CheckpointInspection | AdapterInspection

/** A family, from its headers. All sizes in bytes. */
export interface FamilyInspection {
  /** Says that it is a family. */
  kind: 'family'
  /** Absolute path of the folder. */
  path: string
  /** Format version. */
  format: number
  /** Release that wrote it. */
  writtenBy: string
  /** The base model, and for LoRA tasks where it is. */
  base: {
    /** As given when it was folded. */
    name: string
    /** Of its tensors. */
    bytes: number
    /** Over names, dtypes, shapes and bytes of its tensors. */
    fingerprint: string | null
    /** Where it was; null when no task needs it, or when it lies in the family. */
    reference: string | null
    /** All files of base/; 0 when it was not copied. */
    copiedBytes: number
  }
  /** How it was made. */
  method: Manifest['method']
  /** θ*; null when all tasks are LoRA tasks. */
  merged: {
    /** All files of merged/. */
    bytes: number
    /** Its tensors alone. */
    tensorBytes: number
    /** Number of files. */
    files: number
    /** Number of tensors. */
    tensors: number
  } | null
  /** In the order in which they were given. */
  tasks: TaskInspection[]
  /** The whole family. */
  totals: {
    /** All files of the family. */
    familyBytes: number
    /** Tensors of all originals: what keeping one model per task costs. */
    originalBytes: number
    /** originalBytes / familyBytes; null for an empty family. */
    ratio: number | null
  }
}

/** One task of a family; `codec` tells the two kinds apart. */
export type TaskInspection = ExactTaskInspection | LoraTaskInspection

/** A LoRA task. */
export interface LoraTaskInspection {
  /** Name of the task. */
  name: string
  /** The original. */
  source: PackSource
  /** Factors over the base. */
  codec: 'lora'
  /** All files of the task. */
  bytes: number
  /** The original's tensors. */
  originalBytes: number
  /** bytes / originalBytes; null when the original has no bytes. */
  share: number | null
  /** Largest rank of a layer. */
  rank: number
  /** Largest rank of a layer of the original. */
  originalRank: number
  /** Smallest share of the squared Frobenius norm that a layer keeps. */
  retainedEnergy: number
  /** In bytewise order of their modules. */
  layers: ManifestLayer[]
}

/** A full fine-tune. */
export interface ExactTaskInspection {
  /** Name of the task. */
  name: string
  /** The original. */
  source: PackSource
  /** How the remainder is coded. */
  codec: RemainderCodec
  /** All files of the task. */
  bytes: number
  /** The original's tensors. */
  originalBytes: number
  /** bytes / originalBytes; null when the original has no bytes. */
  share: number | null
  /** Entries kept. */
  kept: number
  /** Entries that there were to choose from. */
  elements: number
  /** kept / elements; null when there was nothing to choose from. */
  density: number | null
  /** How near a lossy codec comes; null: not recorded, or nothing is lost. */
  loss: ManifestLoss | null
  /** Tensors of each kind. */
  kinds: Record<TaskTensor['kind'], number>
  /** Tensors of each index code, among those that keep entries. */
  indexCodes: {
    /** Coded as 16-bit positions. */
    u16: number
    /** Coded as a bitmap. */
    bitmap: number
    /** Coded as gaps. */
    rice: number
    /** Nothing stored: every entry is kept. */
    all: number
  }
  /** Tensors of each value code, among those that keep entries. */
  valueCodes: {
    /** θt's items. */
    plain: number
    /** θt's items, entropy-coded. */
    coded: number
    /** One scale and signs. */
    sign: number
    /** Four bits, and a scale for each 64 entries. */
    int4: number
  }
  /** Where the task's bytes go. */
  stored: {
    /** Kept values. */
    values: number
    /** Their positions. */
    indices: number
    /** Block starts. */
    blocks: number
    /** Scales of int4. */
    scales: number
    /** Stream of codec step: codes, tables, directory. */
    streams: number
    /** Tensors and rows kept whole. */
    whole: number
    /** Headers of the delta files. */
    headers: number
    /** Everything but delta files. */
    otherFiles: number
  }
  /** Only when asked for. */
  tensors?: TaskTensorInspection[]
}

/** One tensor of a task. */
export interface TaskTensorInspection {
  /** Its name. */
  name: string
  /** How it is stored. */
  kind: TaskTensor['kind']
  /** Of the unfolded tensor. */
  dtype: string
  /** Of the unfolded tensor. */
  shape: number[]
  /** Of the unfolded tensor. */
  bytes: number
  /** What of it is stored for the task. */
  storedBytes: number
  /** Entries kept; null for kinds that keep none. */
  kept: number | null
  /** Index code; null where no entry is kept. */
  index: string | null
  /** Value code; null where no entry is kept. */
  values: string | null
  /** Kind alias: what it is tied to. */
  of: string | null
}

/** A checkpoint, from its headers. All sizes in bytes. */
export interface CheckpointInspection {
  /** Says that it is a checkpoint. */
  kind: 'checkpoint'
  /** As given. */
  source: string
  /** Absolute path of its folder. */
  folder: string
  /** True when it has an index. */
  sharded: boolean
  /** Its safetensors files. */
  files: {
    /** Name inside the folder. */
    name: string
    /** Size of the file. */
    bytes: number
    /** Number of tensors. */
    tensors: number
    /** Its `__metadata__`. */
    metadata: Record<string, string>
  }[]
  /** Files of the model that are no weights. */
  otherFiles: string[]
  /** Per dtype, most bytes first. */
  dtypes: {
    /** Its safetensors name. */
    dtype: string
    /** Number of tensors. */
    tensors: number
    /** Number of elements. */
    elements: number
    /** Bytes of these tensors. */
    bytes: number
  }[]
  /** All tensors. */
  totals: {
    /** Number of tensors. */
    tensors: number
    /** Number of elements. */
    elements: number
    /** Bytes of all tensors. */
    bytes: number
  }
  /** Only when asked for. */
  tensors?: {
    /** Its name. */
    name: string
    /** Its dtype. */
    dtype: string
    /** Row-major extents. */
    shape: number[]
    /** Length in bytes. */
    bytes: number
    /** Name of the file that holds it. */
    file: string
  }[]
}
