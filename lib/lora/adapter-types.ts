import type { FileRange } from '../binding/native-files.js'
import type { Checkpoint, Dtype, TensorInfo } from '../checkpoint/checkpoint-types.js'

/** What a LoRA layer is laid over. */
export type LoraLayerKind = 'linear' | 'conv2d' | 'embedding'

/** One pair of factors: ΔW = scale · B·A, [rows × columns]; of an embedding ΔW is the transpose of that. */
export interface LoraLayer {
  /** As the format names it: `model.layers.0.self_attn.q_proj` (PEFT), `lora_unet_…_to_q` (kohya). Unique. */
  readonly module: string
  /** What the weight is. */
  readonly kind: LoraLayerKind
  /** Rows of B: out features; of a PEFT embedding its dimension. */
  readonly rows: number
  /** Columns of A, conv kernels flattened: in features (· kh · kw); of an embedding its vocabulary. */
  readonly columns: number
  /** Columns of B and rows of A. */
  readonly rank: number
  /** α as stored. */
  readonly alpha: number
  /** s: α/r, or α/√r with rsLoRA. */
  readonly scale: number
  /** B [rows, rank], of a conv [rows, rank, 1, 1]. */
  readonly b: TensorInfo
  /** A [rank, in], of a conv [rank, in, kh, kw]. */
  readonly a: TensorInfo
}

/** An opened adapter; headers and configuration only. */
export interface LoraAdapter {
  /** Layout of its files. */
  readonly format: 'peft' | 'kohya'
  /** What the caller asked for. */
  readonly source: string
  /** The weights file as a checkpoint of one file. */
  readonly checkpoint: Checkpoint
  /** In bytewise order of their modules; at least one. */
  readonly layers: readonly LoraLayer[]
  /** Tensors that are passed through untouched: modules_to_save, biases. */
  readonly rest: readonly TensorInfo[]
  /** PEFT: adapter_config.json, parsed. kohya: null. */
  readonly config: Readonly<Record<string, unknown>> | null
  /** `__metadata__` of the weights file. */
  readonly metadata: Readonly<Record<string, string>>
  /** Absolute path of the folder. */
  readonly folder: string
  /** PEFT: other files of the folder that belong to the adapter (README, tokenizer). kohya: []. */
  readonly otherFiles: readonly string[]
}

/** A tensor of an adapter that is to be written. */
export type AdapterTensor = {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
} & (
  | { readonly from: 'a' | 'b'; readonly module: string }
  | { readonly from: 'copy'; readonly info: FileRange }
  | { readonly from: 'bytes'; readonly bytes: Uint8Array }
)

/** Something that a user of the written adapter should know, for instance that vLLM refuses it. */
export interface AdapterWarning {
  /** What it is about. */
  readonly kind: 'vllm' | 'modules-to-save' | 'rank-pattern' | 'metadata' | 'left-out' | 'tied'
  /** One sentence for people. */
  readonly message: string
}

/** An adapter that is to be written: what its files will hold. */
export interface AdapterOutput {
  /** Name of the weights file: `adapter_model.safetensors`, or the kohya file's own name. */
  readonly fileName: string
  readonly tensors: readonly AdapterTensor[]
  /** `__metadata__`; for kohya with the ss_ keys brought up to date. */
  readonly metadata: Readonly<Record<string, string>>
  /** Text of adapter_config.json; null for kohya. */
  readonly config: string | null
  readonly warnings: readonly AdapterWarning[]
}
