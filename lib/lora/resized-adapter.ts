import { basename } from 'node:path'
import type { Dtype } from '../checkpoint/checkpoint-types.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { AdapterOutput, AdapterTensor, LoraAdapter, LoraLayer } from './adapter-types.js'
import { peftWarnings } from './adapter-warnings.js'
import { encodeAlpha } from './kohya-alpha.js'
import { parseKohyaKey } from './kohya-keys.js'
import { resizedMetadata } from './kohya-metadata.js'
import { peftKey } from './peft-keys.js'
import { assertPlainBase } from './plain-base.js'
import { rankFields } from './rank-fields.js'

/** How a resized adapter is stored. */
export interface ResizedOptions {
  /** Dtype of the new factors; 'keep' (default): each that of the old one. */
  dtype?: 'keep' | 'F32' | 'F16' | 'BF16'
}

/**
 * Describes an adapter with other ranks. Scales are folded into the factors, so every scale becomes 1: α = rank. Layers
 * keep their names, other tensors and settings stay as they are.
 *
 * @param adapter - what is resized
 * @param ranks - the new rank of every layer, by module
 * @param options - dtype
 * @returns names, shapes and configuration of what is to be written
 * @throws TaskfoldError ADAPTER_UNSUPPORTED when the adapter is relative to a changed base ({@link assertPlainBase})
 */
export function describeResized(
  adapter: LoraAdapter,
  ranks: ReadonlyMap<string, number>,
  options: ResizedOptions = {},
): AdapterOutput {
  assertPlainBase(adapter)
  const { dtype = 'keep' } = options
  const rankOf = ({ module }: LoraLayer) => {
    const rank = ranks.get(module)
    if (rank !== undefined) return rank
    throw new TaskfoldError('INTERNAL', `${module} has no new rank`)
  }
  const factors = adapter.layers.flatMap((layer) =>
    factorTensors(adapter.format, layer, rankOf(layer), dtype),
  )
  const rest = adapter.rest.map((info): AdapterTensor => {
    return { name: info.name, dtype: info.dtype, shape: info.shape, from: 'copy', info }
  })
  const own = new Map(adapter.layers.map((layer) => [layer.module, rankOf(layer)]))
  if (adapter.config === null) {
    const alphas = adapter.layers.flatMap((layer) => alphaTensor(adapter, layer, rankOf(layer)))
    const { metadata, warnings } = resizedMetadata(adapter, own)
    const fileName = basename(adapter.checkpoint.files[0]!.path)
    return { fileName, tensors: [...factors, ...alphas, ...rest], metadata, config: null, warnings }
  }
  const { config, warnings } = resizedConfig(adapter.config, own)
  const metadata = { ...adapter.metadata, format: adapter.metadata.format ?? 'pt' }
  return { fileName: 'adapter_model.safetensors', tensors: [...factors, ...rest], metadata, config, warnings }
}

function factorTensors(
  format: LoraAdapter['format'],
  { module, kind, a, b }: LoraLayer,
  rank: number,
  dtype: Dtype | 'keep',
): AdapterTensor[] {
  const [, ...input] = a.shape
  const [rows, , ...kernel] = b.shape
  const shapes = { a: [rank, ...input], b: [rows!, rank, ...kernel] }
  return (['a', 'b'] as const).map((from) => {
    const info = from === 'a' ? a : b
    const name = format === 'peft' ? peftKey(module, from, kind === 'embedding') : info.name
    return { name, dtype: dtype === 'keep' ? info.dtype : dtype, shape: shapes[from], from, module }
  })
}

/**
 * Every reader takes a missing alpha for scale 1, which is what is meant. kohya's scripts write one always; under other
 * names than theirs, loaders may stumble over a tensor that they don't expect.
 */
function alphaTensor({ checkpoint }: LoraAdapter, layer: LoraLayer, rank: number): AdapterTensor[] {
  const name = `${layer.module}.alpha`
  const info = checkpoint.tensors.get(name)
  const key = parseKohyaKey(layer.a.name)
  if (info === undefined && !(key.what === 'factor' && key.style === 'lora_down')) return []
  return [{ name, shape: info?.shape ?? [], from: 'bytes', ...encodeAlpha(rank, info?.dtype ?? null) }]
}

function resizedConfig(config: Readonly<Record<string, unknown>>, ranks: ReadonlyMap<string, number>) {
  const fields = rankFields(ranks)
  // init_lora_weights says how training began; loading needs no more of it.
  const changes = { ...fields, use_rslora: false, use_dora: false, init_lora_weights: true }
  const saved = config.modules_to_save
  const warnings = peftWarnings({
    rank: fields.r,
    patterns: Object.keys(fields.rank_pattern).length,
    modulesToSave: Array.isArray(saved) ? saved.map(String) : [],
    bias: config.bias ?? 'none',
    tied: config.ensure_weight_tying === true,
  })
  return { config: `${JSON.stringify({ ...config, ...changes }, null, 2)}\n`, warnings }
}
