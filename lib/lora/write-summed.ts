import { NativeFiles } from '../binding/native-files.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { AdapterFile } from './adapter-file.js'
import { type AdapterReport, energyShares, type LayerReport, splitEnergy } from './adapter-report.js'
import { chooseRanks } from './choose-ranks.js'
import { describePeftAdapter, type NewLayer } from './peft-adapter.js'
import { assertPlainBase } from './plain-base.js'
import { leftOutOfSum, type SummedLayer, sumAdapters, type WeightedAdapter } from './sum-adapters.js'
import { targetModules } from './target-modules.js'
import { layerBytes, truncateLayers } from './truncate-layers.js'
import { factorBytes, type WriteAdapterOptions } from './write-adapter.js'

/**
 * Bytes that {@link writeSummedAdapter} reports at its end.
 *
 * @param adapters - the adapters
 * @param rule - how ranks are chosen
 * @returns bytes
 */
export function summedBytes(adapters: readonly WeightedAdapter[], rule: WriteAdapterOptions['rule']): number {
  const bytes = adapters.reduce((sum, { adapter }) => sum + factorBytes(adapter), 0)
  return needsValues(rule) ? 2 * bytes : bytes
}

/**
 * Writes Σ coefficient · s·B·A of several adapters as one PEFT adapter: exact with rank Σr, or the best one of lower
 * ranks.
 *
 * @param adapters - adapters of one base
 * @param folder - existing folder that gets the files
 * @param options - rule (null: exact), dtype, signal; `candidates`: the base's modules, for short target_modules
 * @returns what every layer keeps
 * @throws TaskfoldError ADAPTER_INVALID, ADAPTER_UNSUPPORTED, NON_FINITE, INVALID_ARGUMENT, INPUT_CHANGED, DISK_FULL,
 * IO_ERROR, CANCELLED
 */
export async function writeSummedAdapter(
  adapters: readonly WeightedAdapter[],
  folder: string,
  options: WriteAdapterOptions & { candidates?: readonly string[] },
): Promise<AdapterReport> {
  const { rule, dtype = 'keep', maxRank, threads, signal, sync, onBytes, candidates = [] } = options
  for (const { adapter } of adapters) assertPlainBase(adapter)
  const sums = sumAdapters(adapters)
  const files = new NativeFiles()
  try {
    const values = needsValues(rule)
      ? await truncateLayers(sums, null, { files, threads, signal, onBytes })
      : null
    const ranks =
      rule === null
        ? new Map(sums.map(({ module, rank }) => [module, Math.min(rank, maxRank ?? rank)]))
        : chooseRanks(
            sums.map((sum, i) => ({
              ...sum,
              bytesPerParameter: factorDtype(sum, dtype) === 'F32' ? 4 : 2,
              singularValues: values?.[i] ?? new Float64Array(0),
            })),
            rule,
            maxRank,
          )
    const described = describePeftAdapter({
      layers: sums.map((sum) => newLayer(sum, ranks.get(sum.module)!, factorDtype(sum, dtype))),
      rest: [],
      baseName: baseNameOf(adapters),
      targetModules: targetModules(
        candidates,
        sums.map(({ module }) => module),
      ),
      modulesToSave: [],
      fanInFanOut: adapters.some(({ adapter }) => adapter.config?.fan_in_fan_out === true),
      metadata: { format: 'pt' },
    })
    const file = await AdapterFile.create(folder, described, { files, signal, sync })
    const before = values === null ? 0 : sums.reduce((bytes, sum) => bytes + layerBytes(sum), 0)
    const found = await truncateLayers(
      sums,
      (module) => ({ rank: ranks.get(module)!, b: file.factor(module, 'b'), a: file.factor(module, 'a') }),
      { files, threads, signal, onBytes: (bytes) => onBytes?.(before + bytes) },
    )
    await file.finish()
    for (const { adapter } of adapters) await assertUnchanged(adapter.checkpoint)
    throwIfAborted(signal)
    const layers = sums.map((sum, i) => layerReport(sum, ranks.get(sum.module)!, found[i]!, file))
    return {
      fileName: described.fileName,
      files: [described.fileName, 'adapter_config.json'],
      rank: layers.reduce((most, { rankAfter }) => Math.max(most, rankAfter), 0),
      layers,
      warnings: [...leftOutOfSum(adapters), ...described.warnings],
      bytesBefore: adapters.reduce((sum, { adapter }) => sum + adapter.checkpoint.totalBytes, 0),
      bytesAfter: file.tensorBytes,
    }
  } finally {
    files.close()
  }
}

function needsValues(rule: WriteAdapterOptions['rule']): boolean {
  return rule !== null && rule.kind !== 'rank'
}

/** The widest of the summed factors, so that nothing is rounded that was not before. */
function factorDtype({ parts }: SummedLayer, dtype: 'keep' | 'F32' | 'F16' | 'BF16'): 'F32' | 'F16' | 'BF16' {
  if (dtype !== 'keep') return dtype
  const dtypes = new Set(parts.flatMap(({ layer }) => [layer.a.dtype, layer.b.dtype]))
  const [only] = dtypes
  return dtypes.size === 1 && (only === 'F16' || only === 'BF16') ? only : 'F32'
}

function newLayer(sum: SummedLayer, rank: number, dtype: 'F32' | 'F16' | 'BF16'): NewLayer {
  const { module, rows, columns, like } = sum
  const [, ...input] = like.a.shape
  const [, , ...kernel] = like.b.shape
  return {
    ...{ module, rows, columns, rank, dtype, kind: like.kind },
    aShape: [rank, ...input],
    bShape: [rows, rank, ...kernel],
  }
}

function layerReport(
  sum: SummedLayer,
  rankAfter: number,
  found: Float64Array,
  file: AdapterFile,
): LayerReport {
  const { module, rows, columns, rank } = sum
  return {
    ...{ module, rows, columns, rankAfter },
    rankBefore: rank,
    singularValues: Array.from(found),
    ...energyShares(splitEnergy(found, rankAfter)),
    bytesBefore: layerBytes(sum),
    bytesAfter: file.factorBytes(module),
  }
}

function baseNameOf(adapters: readonly WeightedAdapter[]): string | null {
  const names = new Set(adapters.map(({ adapter }) => adapter.config?.base_model_name_or_path))
  const [only] = names
  return names.size === 1 && typeof only === 'string' ? only : null
}
