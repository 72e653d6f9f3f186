import { copyFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { NativeDeviceSet } from '../binding/binding-types.js'
import { NativeFiles } from '../binding/native-files.js'
import { byteLength } from '../checkpoint/dtypes.js'
import { copyModelFiles } from '../checkpoint/model-files.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import type { AdapterReport } from './adapter-report.js'
import type { LoraAdapter, LoraLayer } from './adapter-types.js'
import { chooseRanks } from './choose-ranks.js'
import { CONFIG_FILE } from './open-adapter.js'
import type { RankRule } from './rank-rule.js'
import { describeResized } from './resized-adapter.js'
import { type LayerSum, layerBytes, truncateLayers } from './truncate-layers.js'
import {
  layerReports,
  outputFacts,
  type TruncatedOutput,
  truncateBytes,
  writeTruncated,
} from './write-truncated.js'

/** How an adapter is written. */
export interface WriteAdapterOptions {
  /** How ranks are chosen; null: the adapter is copied byte for byte. */
  rule: RankRule | null
  /** Highest rank of any layer. */
  maxRank?: number
  /** Dtype of the new factors; 'keep' (default): that of the old ones. */
  dtype?: 'keep' | 'F32' | 'F16' | 'BF16'
  /** Threads at most. Default: the machine's. */
  threads?: number
  /** GPUs that decompose; absent: the CPU. */
  device?: NativeDeviceSet
  /** Stops within milliseconds. */
  signal?: AbortSignal
  /** Bytes of factors read so far, of those that {@link decomposeBytes} gives. */
  onBytes?: (bytes: number) => void
  /** Wait until the disk has everything. Default true. */
  sync?: boolean
}

/**
 * Bytes that {@link writeResizedAdapter} reports at its end.
 *
 * @param adapter - the adapter
 * @param rule - how ranks are chosen
 * @returns bytes, twice those of the factors when ranks depend on singular values
 */
export function decomposeBytes(adapter: LoraAdapter, rule: RankRule | null): number {
  return truncateBytes(factorBytes(adapter), rule)
}

/**
 * Bytes of all factors of an adapter.
 *
 * @param adapter - the adapter
 * @returns bytes
 */
export function factorBytes(adapter: Pick<LoraAdapter, 'layers'>): number {
  return adapter.layers.reduce((sum, { a, b }) => sum + a.length + b.length, 0)
}

/**
 * Writes an adapter with lower ranks: each layer's best approximation of its rank (design.md section 1), scale folded
 * into the factors.
 *
 * @param adapter - what to write
 * @param folder - existing folder that gets its files
 * @param options - rule, dtype, signal
 * @returns what every layer keeps
 * @throws TaskfoldError NON_FINITE, INVALID_ARGUMENT for a budget that is too small, INPUT_CHANGED, DISK_FULL, IO_ERROR,
 * CANCELLED
 */
export async function writeResizedAdapter(
  adapter: LoraAdapter,
  folder: string,
  options: WriteAdapterOptions,
): Promise<AdapterReport> {
  const files = new NativeFiles()
  try {
    const written = await (options.rule === null
      ? copyVerbatim(adapter, folder, files, options)
      : writeLower(adapter, folder, files, options.rule, options))
    await copyModelFiles({ folder: adapter.folder, otherFiles: adapter.otherFiles }, folder, options)
    await assertUnchanged(adapter.checkpoint)
    throwIfAborted(options.signal)
    return written
  } finally {
    files.close()
  }
}

/**
 * Layers of an adapter as {@link truncateLayers} takes them.
 *
 * @param adapter - the adapter
 * @returns one sum of one product for each layer
 */
export function layerSums(adapter: Pick<LoraAdapter, 'layers'>): LayerSum[] {
  return adapter.layers.map((layer) => ({
    module: layer.module,
    rows: layer.rows,
    columns: layer.columns,
    parts: [{ layer, coefficient: 1 }],
  }))
}

/**
 * What {@link writeResizedAdapter} would write: ranks, singular values and bytes, without any file.
 *
 * @param adapter - what would be resized
 * @param options - rule, dtype, signal
 * @returns the report
 * @throws TaskfoldError NON_FINITE, INVALID_ARGUMENT, INPUT_CHANGED, IO_ERROR, CANCELLED
 */
export async function previewResizedAdapter(
  adapter: LoraAdapter,
  options: WriteAdapterOptions & { rule: RankRule },
): Promise<AdapterReport> {
  const files = new NativeFiles()
  try {
    const values = await truncateLayers(layerSums(adapter), null, { files, ...options })
    await assertUnchanged(adapter.checkpoint)
    const { ranks, output } = describeRanks(adapter, values, options.rule, options)
    const bytes = new Map<string, number>()
    for (const tensor of output.tensors) {
      const module = tensor.from === 'a' || tensor.from === 'b' ? tensor.module : ''
      bytes.set(module, (bytes.get(module) ?? 0) + byteLength(tensor.dtype, tensor.shape))
    }
    return withAdapter(adapter, {
      ...outputFacts(output),
      ...layerReports(layerSums(adapter), values, ({ module }) => [ranks.get(module)!, bytes.get(module)!]),
      bytesAfter: [...bytes.values()].reduce((sum, length) => sum + length, 0),
    })
  } finally {
    files.close()
  }
}

async function writeLower(
  adapter: LoraAdapter,
  folder: string,
  files: NativeFiles,
  rule: RankRule,
  options: WriteAdapterOptions,
): Promise<AdapterReport> {
  const describe = (values: readonly Float64Array[] | null) => describeRanks(adapter, values, rule, options)
  const hash = adapter.format === 'kohya'
  const written = await writeTruncated(layerSums(adapter), folder, describe, { ...options, files, hash })
  return withAdapter(adapter, written)
}

/** What the report of a written adapter has of the one that it was made of. */
function withAdapter(
  { otherFiles, checkpoint }: LoraAdapter,
  report: Omit<AdapterReport, 'bytesBefore'>,
): AdapterReport {
  return { ...report, files: [...report.files, ...otherFiles], bytesBefore: checkpoint.totalBytes }
}

/** `values` may be left out by rules that do not look at them. */
function describeRanks(
  adapter: LoraAdapter,
  values: readonly Float64Array[] | null,
  rule: RankRule,
  { dtype = 'keep', maxRank }: Pick<WriteAdapterOptions, 'dtype' | 'maxRank'>,
): TruncatedOutput {
  const layers = adapter.layers.map((layer, i) => ({
    module: layer.module,
    rows: layer.rows,
    columns: layer.columns,
    rank: layer.rank,
    bytesPerParameter: bytesPerParameter(layer, dtype),
    singularValues: values?.[i] ?? new Float64Array(0),
  }))
  const ranks = chooseRanks(layers, rule, maxRank)
  return { ranks, output: describeResized(adapter, ranks, { dtype }) }
}

async function copyVerbatim(
  adapter: LoraAdapter,
  folder: string,
  files: NativeFiles,
  options: WriteAdapterOptions,
): Promise<AdapterReport> {
  const [weights] = adapter.checkpoint.files
  const names = [basename(weights!.path), ...(adapter.config === null ? [] : [CONFIG_FILE])]
  for (const name of names) {
    throwIfAborted(options.signal)
    const from = join(adapter.folder, name)
    await copyFile(from, join(folder, name)).catch((error) => {
      throw toTaskfoldError(error, { file: from, action: 'copy' })
    })
  }
  const sums = layerSums(adapter)
  const found = await truncateLayers(sums, null, { files, ...options })
  const ranks = new Map(adapter.layers.map(({ module, rank }) => [module, rank]))
  return withAdapter(adapter, {
    ...{ fileName: names[0]!, files: names, warnings: [] },
    ...layerReports(sums, found, (sum) => [ranks.get(sum.module)!, layerBytes(sum)]),
    bytesAfter: adapter.checkpoint.totalBytes,
  })
}

function bytesPerParameter(layer: LoraLayer, dtype: 'keep' | 'F32' | 'F16' | 'BF16'): number {
  if (dtype !== 'keep') return dtype === 'F32' ? 4 : 2
  return layer.a.elements === 0 ? 4 : layer.a.length / layer.a.elements
}
