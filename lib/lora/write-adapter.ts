import { copyFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { NativeFiles } from '../binding/native-files.js'
import { copyModelFiles } from '../checkpoint/model-files.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { AdapterFile } from './adapter-file.js'
import { type AdapterReport, energyShares, type LayerReport, splitEnergy } from './adapter-report.js'
import type { LoraAdapter, LoraLayer } from './adapter-types.js'
import { chooseRanks } from './choose-ranks.js'
import { CONFIG_FILE } from './open-adapter.js'
import type { RankRule } from './rank-rule.js'
import { describeResized } from './resized-adapter.js'
import { type LayerSum, truncateLayers } from './truncate-layers.js'

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
  const bytes = adapter.layers.reduce((sum, { a, b }) => sum + a.length + b.length, 0)
  return rule === null || rule.kind === 'rank' ? bytes : 2 * bytes
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
      : writeTruncated(adapter, folder, files, options.rule, options))
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

async function writeTruncated(
  adapter: LoraAdapter,
  folder: string,
  files: NativeFiles,
  rule: RankRule,
  options: WriteAdapterOptions,
): Promise<AdapterReport> {
  const { dtype = 'keep', maxRank, threads, signal, sync, onBytes } = options
  const sums = layerSums(adapter)
  const needsValues = rule.kind !== 'rank'
  const values = needsValues ? await truncateLayers(sums, null, { files, threads, signal, onBytes }) : null
  const ranks = chooseRanks(
    adapter.layers.map((layer, i) => ({
      module: layer.module,
      rows: layer.rows,
      columns: layer.columns,
      rank: layer.rank,
      bytesPerParameter: bytesPerParameter(layer, dtype),
      singularValues: values?.[i] ?? new Float64Array(0),
    })),
    rule,
    maxRank,
  )
  const output = describeResized(adapter, ranks, { dtype })
  const file = await AdapterFile.create(folder, output, {
    files,
    signal,
    sync,
    hash: adapter.format === 'kohya',
  })
  const before = needsValues ? decomposeBytes(adapter, rule) / 2 : 0
  const found = await truncateLayers(
    sums,
    (module) => ({
      rank: ranks.get(module)!,
      b: file.factor(module, 'b'),
      a: file.factor(module, 'a'),
    }),
    { files, threads, signal, onBytes: (bytes) => onBytes?.(before + bytes) },
  )
  await file.finish()
  return {
    fileName: output.fileName,
    files: [output.fileName, ...(output.config === null ? [] : [CONFIG_FILE]), ...adapter.otherFiles],
    ...layerReports(adapter, found, ({ module }) => [ranks.get(module)!, file.factorBytes(module)]),
    warnings: [...output.warnings],
    bytesAfter: file.tensorBytes,
  }
}

async function copyVerbatim(
  adapter: LoraAdapter,
  folder: string,
  files: NativeFiles,
  options: WriteAdapterOptions,
): Promise<AdapterReport> {
  const found = await truncateLayers(layerSums(adapter), null, { files, ...options })
  const [weights] = adapter.checkpoint.files
  const names = [basename(weights!.path), ...(adapter.config === null ? [] : [CONFIG_FILE])]
  for (const name of names) {
    throwIfAborted(options.signal)
    const from = join(adapter.folder, name)
    await copyFile(from, join(folder, name)).catch((error) => {
      throw toTaskfoldError(error, { file: from, action: 'copy' })
    })
  }
  return {
    fileName: names[0]!,
    files: [...names, ...adapter.otherFiles],
    ...layerReports(adapter, found, ({ rank, a, b }) => [rank, a.length + b.length]),
    warnings: [],
    bytesAfter: adapter.checkpoint.totalBytes,
  }
}

function bytesPerParameter(layer: LoraLayer, dtype: 'keep' | 'F32' | 'F16' | 'BF16'): number {
  if (dtype !== 'keep') return dtype === 'F32' ? 4 : 2
  return layer.a.elements === 0 ? 4 : layer.a.length / layer.a.elements
}

/** `after` gives the rank and the bytes that a layer has now. */
function layerReports(
  adapter: LoraAdapter,
  found: readonly Float64Array[],
  after: (layer: LoraLayer) => [rank: number, bytes: number],
): Pick<AdapterReport, 'layers' | 'rank' | 'bytesBefore'> {
  const layers = adapter.layers.map((layer, i): LayerReport => {
    const { module, rows, columns, rank, a, b } = layer
    const [rankAfter, bytesAfter] = after(layer)
    return {
      ...{ module, rows, columns, rankBefore: rank, rankAfter },
      singularValues: Array.from(found[i]!),
      ...energyShares(splitEnergy(found[i]!, rankAfter)),
      ...{ bytesBefore: a.length + b.length, bytesAfter },
    }
  })
  const rank = layers.reduce((most, { rankAfter }) => Math.max(most, rankAfter), 0)
  return { layers, rank, bytesBefore: adapter.checkpoint.totalBytes }
}
