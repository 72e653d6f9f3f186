import type { NativeDeviceSet } from '../binding/binding-types.js'
import type { NativeFiles } from '../binding/native-files.js'
import { AdapterFile } from './adapter-file.js'
import { type AdapterReport, energyShares, type LayerReport, splitEnergy } from './adapter-report.js'
import type { AdapterOutput } from './adapter-types.js'
import { CONFIG_FILE } from './open-adapter.js'
import type { RankRule } from './rank-rule.js'
import { type LayerSum, layerBytes, truncateLayers } from './truncate-layers.js'

/** How {@link writeTruncated} writes. */
export interface WriteTruncatedOptions {
  /** How ranks are chosen; null: nothing is cut off. */
  rule: RankRule | null
  /** Open files. */
  files: NativeFiles
  /** Write kohya's hash of the weights. Default false. */
  hash?: boolean
  /** Threads at most. */
  threads?: number
  /** GPUs that decompose; absent: the CPU. */
  device?: NativeDeviceSet
  /** Stops within milliseconds. */
  signal?: AbortSignal
  /** Bytes of factors read so far, of those that {@link truncateBytes} gives. */
  onBytes?: (bytes: number) => void
  /** Wait until the disk has everything. Default true. */
  sync?: boolean
}

/** What is written: ranks by module, and an adapter of these ranks. */
export interface TruncatedOutput {
  ranks: ReadonlyMap<string, number>
  output: AdapterOutput
}

/**
 * Bytes of factors that {@link writeTruncated} reads.
 *
 * @param bytes - of all factors
 * @param rule - how ranks are chosen
 * @returns bytes, twice those of the factors when ranks depend on singular values
 */
export function truncateBytes(bytes: number, rule: RankRule | null): number {
  return needsValues(rule) ? 2 * bytes : bytes
}

/**
 * Writes an adapter of sums of products: computes singular values first where ranks depend on them, then factors.
 *
 * @param sums - its layers
 * @param folder - existing folder
 * @param describe - chooses ranks and describes the adapter; without values when the rule does not look at them
 * @param options - rule, open files, signal
 * @returns what every layer keeps
 * @throws TaskfoldError NON_FINITE, INVALID_ARGUMENT, DISK_FULL, IO_ERROR, CANCELLED
 */
export async function writeTruncated(
  sums: readonly LayerSum[],
  folder: string,
  describe: (values: readonly Float64Array[] | null) => TruncatedOutput,
  options: WriteTruncatedOptions,
): Promise<Omit<AdapterReport, 'bytesBefore'>> {
  const { rule, files, hash, threads, device, signal, sync, onBytes } = options
  const first = { files, threads, device, signal, onBytes }
  const values = needsValues(rule) ? await truncateLayers(sums, null, first) : null
  const { ranks, output } = describe(values)
  const file = await AdapterFile.create(folder, output, { files, signal, sync, hash })
  const before = values === null ? 0 : sums.reduce((bytes, sum) => bytes + layerBytes(sum), 0)
  const found = await truncateLayers(
    sums,
    (module) => ({ rank: ranks.get(module)!, b: file.factor(module, 'b'), a: file.factor(module, 'a') }),
    { ...first, onBytes: (bytes) => onBytes?.(before + bytes) },
  )
  await file.finish()
  return {
    ...outputFacts(output),
    ...layerReports(sums, found, ({ module }) => [ranks.get(module)!, file.factorBytes(module)]),
    bytesAfter: file.tensorBytes,
  }
}

/**
 * Files and warnings of a described adapter.
 *
 * @param output - the adapter
 * @returns as a report has them
 */
export function outputFacts({
  fileName,
  config,
  warnings,
}: AdapterOutput): Pick<AdapterReport, 'fileName' | 'files' | 'warnings'> {
  return { fileName, files: config === null ? [fileName] : [fileName, CONFIG_FILE], warnings: [...warnings] }
}

/**
 * Reports of layers.
 *
 * @param sums - the layers
 * @param found - their singular values
 * @param after - rank and bytes that a layer has now
 * @returns the reports and the largest rank
 */
export function layerReports(
  sums: readonly LayerSum[],
  found: readonly Float64Array[],
  after: (sum: LayerSum) => [rank: number, bytes: number],
): Pick<AdapterReport, 'layers' | 'rank'> {
  const layers = sums.map((sum, i): LayerReport => {
    const { module, rows, columns, parts } = sum
    const [rankAfter, bytesAfter] = after(sum)
    return {
      ...{ module, rows, columns, rankAfter },
      rankBefore: parts.reduce((rank, { layer }) => rank + layer.rank, 0),
      singularValues: Array.from(found[i]!),
      ...energyShares(splitEnergy(found[i]!, rankAfter)),
      ...{ bytesBefore: layerBytes(sum), bytesAfter },
    }
  })
  return { layers, rank: layers.reduce((most, { rankAfter }) => Math.max(most, rankAfter), 0) }
}

function needsValues(rule: RankRule | null): boolean {
  return rule !== null && rule.kind !== 'rank'
}
