import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { isFloatDtype } from '../checkpoint/dtypes.js'
import { sortByName } from '../checkpoint/names.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { LoraLayerKind } from './adapter-types.js'

/** Which tensors of a fine-tune go into an adapter, and how. */
export interface ExtractChoice {
  /** Only modules whose name matches one of these. Default: all. */
  include?: readonly RegExp[]
  /** No modules whose name matches one of these. */
  exclude?: readonly RegExp[]
  /** Embedding tables too. Default false. */
  embeddings?: boolean
  /** Output heads (lm_head, classifier, …) too. Default false. */
  heads?: boolean
  /** Convolutions too. Default false: a base does not tell which of them are grouped, and those have no LoRA. */
  conv?: boolean
  /** Modules to store whole (PEFT's modules_to_save). What the base lacks is always stored whole. */
  save?: readonly RegExp[]
}

/** A matrix to decompose: θt − θ0 of one module. */
export interface ExtractLayer {
  module: string
  kind: LoraLayerKind
  /** Of the weight as stored; conv kernels flattened. */
  rows: number
  columns: number
  base: TensorInfo
  tuned: TensorInfo
  /** The adapter holds the factors of the transpose: embeddings, and Conv1D weights, which are stored [in, out]. */
  transposed: boolean
}

/** What becomes of every tensor of a fine-tune. */
export interface ExtractPlan {
  layers: ExtractLayer[]
  /** Tensors stored whole. */
  saved: TensorInfo[]
  /** Tensors that the adapter cannot hold; those with an equal shape in the base may have changed. */
  leftOut: { tuned: TensorInfo; base: TensorInfo | null; reason: string }[]
  /** All modules with a weight that could be a layer, for target_modules. */
  candidates: string[]
}

/** Last components of module names under which models keep their tables and heads. */
const EMBEDDINGS =
  /^(embed(ding)?s?|embed_(tokens|in|positions)|tok_embeddings|w[tp]e|shared|(word|position|token_type)_embeddings)$/
const HEADS = /^((lm_)?heads?|embed_out|classifier|score|qa_outputs|proj_out)$/

const CONV1D_MODELS: ReadonlySet<string> = new Set(['gpt2', 'openai-gpt', 'imagegpt', 'decision_transformer'])
const CONV1D_LAYERS = /^(c_attn|c_proj|c_fc|q_attn)$/

/**
 * Decides what becomes of every tensor of a fine-tune.
 *
 * @param base - θ0
 * @param tuned - θt
 * @param choice - what the caller wants
 * @returns the plan, in bytewise order of names
 * @throws TaskfoldError NOTHING_TO_MERGE when no module is left
 */
export function planExtract(base: Checkpoint, tuned: Checkpoint, choice: ExtractChoice): ExtractPlan {
  const plan: ExtractPlan = { layers: [], saved: [], leftOut: [], candidates: [] }
  for (const tensor of sortByName([...tuned.tensors.values()])) {
    const other = base.tensors.get(tensor.name) ?? null
    const module = tensor.name.replace(/\.(weight|bias)$/, '')
    const same = other !== null && sameShape(other, tensor)
    if (choice.save?.some((pattern) => pattern.test(module)) || (!same && module !== tensor.name)) {
      plan.saved.push(tensor)
      continue
    }
    const kind = tensor.name.endsWith('.weight') && same ? layerKind(module, tensor, other) : null
    if (kind !== null) plan.candidates.push(module)
    const reason = kind === null ? notAMatrix(tensor, other) : refusal(module, kind, choice)
    if (kind === null || reason !== null) {
      plan.leftOut.push({ tuned: tensor, base: same ? other : null, reason: reason ?? 'is no matrix' })
      continue
    }
    const rows = tensor.shape[0]!
    const columns = tensor.elements / rows
    const transposed = kind === 'embedding' || isConv1d(module, base)
    plan.layers.push({ module, kind, rows, columns, base: other!, tuned: tensor, transposed })
  }
  if (plan.layers.length > 0) return plan
  throw new TaskfoldError(
    'NOTHING_TO_MERGE',
    `${tuned.source} has no weight matrix in common with ${base.source} that was asked for`,
    { hint: 'check base and fine-tune; --include, --exclude, --embeddings and --heads choose the modules' },
  )
}

function layerKind(module: string, tensor: TensorInfo, base: TensorInfo): LoraLayerKind | null {
  if (!isFloatDtype(tensor.dtype) || !isFloatDtype(base.dtype) || tensor.elements === 0) return null
  if (tensor.shape.length === 4) return 'conv2d'
  if (tensor.shape.length !== 2) return null
  return EMBEDDINGS.test(lastPart(module)) ? 'embedding' : 'linear'
}

function notAMatrix(tensor: TensorInfo, base: TensorInfo | null): string {
  if (base === null) return 'is not in the base and belongs to no module'
  return isFloatDtype(tensor.dtype) ? 'is no matrix' : `is ${tensor.dtype}`
}

/** Why a module is not decomposed; null when it is. */
function refusal(module: string, kind: LoraLayerKind, choice: ExtractChoice): string | null {
  const { include = [], exclude = [] } = choice
  if (exclude.some((pattern) => pattern.test(module))) return 'is excluded'
  if (include.length > 0) return include.some((pattern) => pattern.test(module)) ? null : 'is not included'
  if (kind === 'embedding' && !choice.embeddings) return 'is an embedding (--embeddings)'
  if (kind === 'conv2d' && !choice.conv) return 'is a convolution (--conv)'
  if (HEADS.test(lastPart(module)) && !choice.heads) return 'is a head (--heads)'
  return null
}

/** Models whose linear layers are transformers' Conv1D keep their weights as [in, out]. */
function isConv1d(module: string, { config }: Checkpoint): boolean {
  const type = config?.model_type
  return typeof type === 'string' && CONV1D_MODELS.has(type) && CONV1D_LAYERS.test(lastPart(module))
}

function lastPart(module: string): string {
  return module.slice(module.lastIndexOf('.') + 1)
}

function sameShape(a: TensorInfo, b: TensorInfo): boolean {
  return a.shape.length === b.shape.length && a.shape.every((extent, i) => extent === b.shape[i])
}
