import type { Dtype, TensorInfo } from '../checkpoint/checkpoint-types.js'
import type { AdapterOutput, AdapterTensor, LoraLayerKind } from './adapter-types.js'
import { peftWarnings } from './adapter-warnings.js'
import { PEFT_PREFIX, peftKey } from './peft-keys.js'
import { rankFields } from './rank-fields.js'

/** A layer of a new adapter. */
export interface NewLayer {
  /** Name of the module in the base model. */
  readonly module: string
  readonly kind: LoraLayerKind
  /** Rows of B; of an embedding its dimension. */
  readonly rows: number
  /** Columns of A, kernels flattened; of an embedding its vocabulary. */
  readonly columns: number
  readonly rank: number
  /** Of both factors. */
  readonly dtype: Dtype
  /** [rank, in], of a conv [rank, in, kh, kw]. */
  readonly aShape: readonly number[]
  /** [rows, rank], of a conv [rows, rank, 1, 1]. */
  readonly bShape: readonly number[]
}

/** A new PEFT adapter. Its scales are 1. */
export interface NewPeftAdapter {
  /** At least one. */
  readonly layers: readonly NewLayer[]
  /** Tensors stored whole, with their names in the base model; they belong to `modulesToSave`. */
  readonly rest: readonly { readonly name: string; readonly info: TensorInfo }[]
  /** What the base is called: a path or org/name. */
  readonly baseName: string | null
  /** What targetModules gave. */
  readonly targetModules: string | readonly string[]
  /** Modules that are stored whole. */
  readonly modulesToSave: readonly string[]
  /** Whether the base stores its linear weights as [in, out]. */
  readonly fanInFanOut: boolean
  /** `__metadata__`; `format: pt` is added. */
  readonly metadata: Readonly<Record<string, string>>
}

/**
 * Describes a new PEFT adapter. Its configuration has the fields that PEFT 0.10 and later, vLLM and others read, all of
 * which those versions know.
 *
 * @param adapter - layers and whole tensors
 * @returns names, shapes and configuration of what is to be written
 */
export function describePeftAdapter(adapter: NewPeftAdapter): AdapterOutput {
  const { layers, modulesToSave, targetModules } = adapter
  const ranks = rankFields(new Map(layers.map(({ module, rank }) => [module, rank])))
  const config = {
    alpha_pattern: ranks.alpha_pattern,
    auto_mapping: null,
    base_model_name_or_path: adapter.baseName,
    bias: 'none',
    fan_in_fan_out: adapter.fanInFanOut,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: ranks.lora_alpha,
    lora_dropout: 0,
    modules_to_save: modulesToSave.length > 0 ? modulesToSave : null,
    peft_type: 'LORA',
    r: ranks.r,
    rank_pattern: ranks.rank_pattern,
    revision: null,
    target_modules: targetModules,
    task_type: null,
    use_dora: false,
    use_rslora: false,
  }
  const patterns = Object.keys(ranks.rank_pattern).length
  return {
    fileName: 'adapter_model.safetensors',
    tensors: [...layers.flatMap(factors), ...adapter.rest.map(whole)],
    metadata: { ...adapter.metadata, format: 'pt' },
    config: `${JSON.stringify(config, null, 2)}\n`,
    warnings: peftWarnings({ rank: ranks.r, patterns, modulesToSave }),
  }
}

function factors({ module, kind, dtype, aShape, bShape }: NewLayer): AdapterTensor[] {
  return (['a', 'b'] as const).map((from) => {
    const name = peftKey(module, from, kind === 'embedding')
    return { name, dtype, shape: from === 'a' ? aShape : bShape, from, module }
  })
}

function whole({ name, info }: { name: string; info: TensorInfo }): AdapterTensor {
  return { name: `${PEFT_PREFIX}${name}`, dtype: info.dtype, shape: info.shape, from: 'copy', info }
}
