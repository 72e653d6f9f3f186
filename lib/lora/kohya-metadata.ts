import type { AdapterWarning, LoraAdapter, LoraLayer } from './adapter-types.js'

/** What kohya's resize_lora.py writes when layers have ranks of their own. */
const DYNAMIC = 'Dynamic'
/** Hashes of the old weights; the writer adds the new model hash. */
const STALE = ['sshs_model_hash', 'sshs_legacy_hash', 'modelspec.hash_sha256']

/**
 * Brings the training metadata (`ss_…`) of a kohya file up to date. In a file without any, none is added.
 *
 * @param adapter - what is resized
 * @param ranks - the new rank of every layer, by module
 * @returns metadata, and what could not be brought up to date
 */
export function resizedMetadata(
  adapter: Pick<LoraAdapter, 'metadata' | 'layers'>,
  ranks: ReadonlyMap<string, number>,
): { metadata: Record<string, string>; warnings: AdapterWarning[] } {
  // Without a prototype "__proto__" is a key like any other.
  const metadata: Record<string, string> = Object.assign(Object.create(null), adapter.metadata)
  for (const key of STALE) delete metadata[key]
  const warnings: AdapterWarning[] = []
  if (!Object.keys(metadata).some((key) => key.startsWith('ss_'))) return { metadata, warnings }

  // kohya's network_dim is the rank of linear layers and 1×1 kernels, conv_dim that of larger kernels.
  const large = adapter.layers.filter(hasLargeKernel)
  const small = adapter.layers.filter((layer) => !hasLargeKernel(layer))
  const dim = commonRank(small.length > 0 ? small : large, ranks)
  metadata.ss_network_dim = dim === null ? DYNAMIC : String(dim)
  metadata.ss_network_alpha = dim === null ? DYNAMIC : `${dim}.0`
  const args = metadata.ss_network_args
  if (args !== undefined && args !== 'None') {
    const updated = updateArgs(args, commonRank(large.length > 0 ? large : small, ranks))
    if (updated !== null) metadata.ss_network_args = updated
    else
      warnings.push({ kind: 'metadata', message: 'ss_network_args is no JSON object and was left as it is.' })
  }
  metadata.ss_training_comment = comment(metadata.ss_training_comment, adapter.layers, ranks)
  return { metadata, warnings }
}

function hasLargeKernel({ a }: LoraLayer): boolean {
  return a.shape.slice(2).some((extent) => extent > 1)
}

function commonRank(layers: readonly LoraLayer[], ranks: ReadonlyMap<string, number>): number | null {
  const values = new Set(layers.map(({ module }) => ranks.get(module)!))
  return values.size === 1 ? [...values][0]! : null
}

/** Values stay what they were, text or numbers. null: it is no JSON object. */
function updateArgs(text: string, conv: number | null): string | null {
  let args: unknown
  try {
    args = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof args !== 'object' || args === null || Array.isArray(args)) return null
  const fields = args as Record<string, unknown>
  let changed = false
  for (const key of ['conv_dim', 'conv_alpha']) {
    const value = Object.hasOwn(fields, key) ? fields[key] : null
    if (value === null) continue
    fields[key] = conv === null ? DYNAMIC : typeof value === 'number' ? conv : String(conv)
    changed = true
  }
  return changed ? JSON.stringify(fields) : text
}

function comment(
  old: string | undefined,
  layers: readonly LoraLayer[],
  ranks: ReadonlyMap<string, number>,
): string {
  const range = (values: number[]) => {
    const [low, high] = values.reduce(
      ([l, h], v) => [Math.min(l!, v), Math.max(h!, v)],
      [values[0]!, values[0]!],
    )
    return low === high ? `${low}` : `${low}–${high}`
  }
  const note = `resized by taskfold from rank ${range(layers.map(({ rank }) => rank))} to ${range([...ranks.values()])}`
  // Python writes None for no comment.
  return old === undefined || old === '' || old === 'None' ? note : `${old}; ${note}`
}
