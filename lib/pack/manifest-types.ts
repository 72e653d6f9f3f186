import type { SparseCodec, StreamCodec } from '../binding/binding-types.js'

/** Types of family.json, docs/FORMAT.md. */

/** Size and fingerprint (docs/FORMAT.md, "Fingerprints") of one file's bytes. */
export interface PackFile {
  /** Path inside the family, with '/'. */
  path: string
  /** Size in bytes. */
  bytes: number
  /** Of its bytes as one region, 32 hex digits. */
  fingerprint: string
}

/** Where a model came from; for people and for `verify --against`. Never needed for decoding. */
export interface PackSource {
  /** As given by the user, made relative to nothing: a path's last component or org/name@revision. */
  name: string
  /** Of its tensors. */
  bytes: number
  /** Only for the base: fingerprint over names, dtypes, shapes and tensor bytes. */
  fingerprint?: string
}

/** θ0. LoRA tasks need it, so a family that has some says how to find and to recognise it. */
export interface ManifestBase extends PackSource {
  /** Where it was: a path from the family's folder that begins with `..`, or org/name@commit. Absent when copied. */
  reference?: string
  /** All files of base/, when it was copied. */
  files?: PackFile[]
}

/** How the ranks of LoRA tasks were chosen; `kind` is the name of the option. */
export type ManifestRankRule =
  | {
      /** One rank for all layers. */
      kind: 'rank'
      /** q. */
      rank: number
    }
  | {
      /** Per layer: a share of the squared norm, of the norm, or of the sum of singular values. */
      kind: 'energy' | 'sv-fro' | 'sv-cumulative'
      /** Above 0 and at most 1. */
      share: number
    }
  | {
      /** Per layer: singular values above the largest ÷ ratio. */
      kind: 'sv-ratio'
      /** At least 1. */
      ratio: number
    }
  | {
      /** All layers together. */
      kind: 'budget'
      /** Parameters of the factors. */
      parameters: number
    }
  | {
      /** All layers together. */
      kind: 'budget-bytes'
      /** Bytes of the factors. */
      bytes: number
    }

/** How LoRA tasks were made. Not needed for decoding. */
export interface ManifestLoraMethod {
  /** null: adapters were taken over as they are. */
  rule: ManifestRankRule | null
  /** Highest rank allowed beside the rule. */
  maxRank?: number
}

/** What the remainder of one task may take. */
export type ManifestTarget =
  | {
      /** Bits per merged parameter. */
      bits: number
    }
  | {
      /** Of tables, directory and codes. */
      bytes: number
    }

/** How θ* and the deltas were made. Not needed for decoding. */
export interface ManifestMergeMethod {
  /** Merge method. */
  merge: 'task-arithmetic'
  /** The f32 value used, as a decimal that rounds back to it. */
  lambda: number
  /** How remainders of full fine-tunes are coded; absent: exact. */
  codec?: RemainderCodec
  /** What a remainder may take, of codecs that have a target: bits per merged parameter, or bytes. */
  target?: ManifestTarget
  /** Share of the entries that each task keeps. */
  density: number
  /** Whether entries are ranked over the whole model or inside each tensor. */
  scope: 'global' | 'tensor'
  /** What a NaN in an input meant. */
  nonFinite: 'error' | 'keep'
  /** Storage dtype asked for; keep: the base's. */
  dtype: 'keep' | 'F32' | 'F16' | 'BF16'
}

/** `merge` and what belongs to it is there when the family has θ*, `lora` when it has LoRA tasks. */
export type ManifestMethod =
  | (ManifestMergeMethod & {
      /** Of the LoRA tasks beside the full fine-tunes. */
      lora?: ManifestLoraMethod
    })
  | {
      /** There is no θ*. */
      merge?: undefined
      /** Of the LoRA tasks, which are all. */
      lora: ManifestLoraMethod
    }

/** Common to the tasks of all codecs. */
export interface ManifestTaskFacts {
  /** Unique in the family when case is ignored; also the name of its folder. */
  name: string
  /** The original. */
  source: PackSource
  /** Bytes of all its files in the family. */
  bytes: number
  /** Bytes of the original's tensors, for the ratio that people compare. */
  originalBytes: number
  /** All files of its folder. */
  files: PackFile[]
}

/** Codecs of a full fine-tune's remainder. */
export type RemainderCodec = SparseCodec | StreamCodec

/** A full fine-tune: θ* and a remainder. */
export interface ManifestExactTask extends ManifestTaskFacts {
  /** How the remainder is coded. */
  codec: RemainderCodec
  /** Entries kept over all its delta tensors; of step nonzero codes. */
  kept: number
  /** Entries that there were to choose from. */
  elements: number
  /** Of a lossy codec: how near it comes. */
  loss?: ManifestLoss
  /** Other files of merged/ (paths inside it) that the task has too, byte for byte; they are not stored again. */
  sharedFiles?: string[]
  /** `__metadata__` to give the unfolded files (the original's, with format: pt). */
  metadata: Record<string, string>
  /** File of each tensor that merged/ does not hold; others lie where merged/ has them. Unlisted: the first file. */
  shards?: Record<string, string>
}

/** What a stream codec reached. Not needed for decoding. */
export interface ManifestLoss {
  /** Δ. */
  step: number
  /** Bits of tables, directory and codes per merged parameter. */
  bits: number
  /** ‖θt − θ̂t‖ ÷ ‖θt − θ*‖ over all coded tensors; 0 when nothing differs. */
  relativeError: number
}

/** One layer of a LoRA task. */
export interface ManifestLayer {
  /** As the adapter names it, for instance `model.layers.0.self_attn.q_proj`. */
  module: string
  /** Rank of the stored factors. */
  rank: number
  /** Rank of the original's. */
  originalRank: number
  /** Share of the squared Frobenius norm of s·B·A that is kept. */
  retainedEnergy: number
  /** ‖s·B·A − stored‖ / ‖s·B·A‖. */
  relativeError: number
}

/** A LoRA task: an ordinary PEFT folder over θ0. */
export interface ManifestLoraTask extends ManifestTaskFacts {
  /** Low-rank factors over θ0. */
  codec: 'lora'
  /** Largest rank of a layer. */
  rank: number
  /** In bytewise order of their modules. */
  layers: ManifestLayer[]
}

/** One task in family.json; `codec` tells the kinds apart. */
export type ManifestTask = ManifestExactTask | ManifestLoraTask

/** θ* in family.json. */
export interface ManifestMerged {
  /** Sum over files. */
  bytes: number
  /** All files of merged/. */
  files: PackFile[]
  /** Fingerprint of every tensor of merged/. */
  tensors: Record<string, string>
}

/** family.json, written last. */
export interface Manifest {
  /** What wrote it. */
  taskfold: {
    /** Format version, 1 in this release. */
    format: number
    /** Release of taskfold. */
    version: string
  }
  /** How the family was made. Not needed for decoding. */
  method: ManifestMethod
  /** The base model. */
  base: ManifestBase
  /** θ*; absent when all tasks are LoRA tasks. */
  merged?: ManifestMerged
  /** In the order in which they were given and merged. */
  tasks: ManifestTask[]
}
