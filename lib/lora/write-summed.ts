import { NativeFiles } from '../binding/native-files.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import type { AdapterReport } from './adapter-report.js'
import { chooseRanks } from './choose-ranks.js'
import { describePeftAdapter, type NewLayer } from './peft-adapter.js'
import { assertPlainBase } from './plain-base.js'
import { leftOutOfSum, type SummedLayer, sumAdapters, type WeightedAdapter } from './sum-adapters.js'
import { targetModules } from './target-modules.js'
import { factorBytes, type WriteAdapterOptions } from './write-adapter.js'
import { type TruncatedOutput, truncateBytes, writeTruncated } from './write-truncated.js'

/** How {@link writeSummedAdapter} writes. */
export interface SummedOptions extends WriteAdapterOptions {
  /** The base's modules, for short target_modules. */
  candidates?: readonly string[]
}

/**
 * Bytes that {@link writeSummedAdapter} reports at its end.
 *
 * @param adapters - the adapters
 * @param rule - how ranks are chosen
 * @returns bytes
 */
export function summedBytes(adapters: readonly WeightedAdapter[], rule: WriteAdapterOptions['rule']): number {
  return truncateBytes(
    adapters.reduce((sum, { adapter }) => sum + factorBytes(adapter), 0),
    rule,
  )
}

/**
 * Writes Σ coefficient · s·B·A of several adapters as one PEFT adapter: exact with rank Σr, or the best one of lower
 * ranks.
 *
 * @param adapters - adapters of one base
 * @param folder - existing folder that gets the files
 * @param options - rule (null: exact), dtype, signal
 * @returns what every layer keeps
 * @throws TaskfoldError ADAPTER_INVALID, ADAPTER_UNSUPPORTED, NON_FINITE, INVALID_ARGUMENT, INPUT_CHANGED, DISK_FULL,
 * IO_ERROR, CANCELLED
 */
export async function writeSummedAdapter(
  adapters: readonly WeightedAdapter[],
  folder: string,
  options: SummedOptions,
): Promise<AdapterReport> {
  for (const { adapter } of adapters) assertPlainBase(adapter)
  const sums = sumAdapters(adapters)
  const files = new NativeFiles()
  try {
    const describe = (values: readonly Float64Array[] | null) => describeSum(adapters, sums, values, options)
    const written = await writeTruncated(sums, folder, describe, { ...options, files })
    for (const { adapter } of adapters) await assertUnchanged(adapter.checkpoint)
    throwIfAborted(options.signal)
    return {
      ...written,
      warnings: [...leftOutOfSum(adapters), ...written.warnings],
      bytesBefore: adapters.reduce((sum, { adapter }) => sum + adapter.checkpoint.totalBytes, 0),
    }
  } finally {
    files.close()
  }
}

function describeSum(
  adapters: readonly WeightedAdapter[],
  sums: readonly SummedLayer[],
  values: readonly Float64Array[] | null,
  { rule, maxRank, dtype = 'keep', candidates = [] }: SummedOptions,
): TruncatedOutput {
  const layers = sums.map((sum, i) => ({
    ...sum,
    bytesPerParameter: factorDtype(sum, dtype) === 'F32' ? 4 : 2,
    singularValues: values?.[i] ?? new Float64Array(0),
  }))
  const ranks =
    rule === null
      ? new Map(sums.map(({ module, rank }) => [module, Math.min(rank, maxRank ?? rank)]))
      : chooseRanks(layers, rule, maxRank)
  const modules = sums.map(({ module }) => module)
  const output = describePeftAdapter({
    layers: sums.map((sum) => newLayer(sum, ranks.get(sum.module)!, factorDtype(sum, dtype))),
    rest: [],
    baseName: baseNameOf(adapters),
    targetModules: targetModules(candidates, modules),
    modulesToSave: [],
    fanInFanOut: adapters.some(({ adapter }) => adapter.config?.fan_in_fan_out === true),
    metadata: { format: 'pt' },
  })
  return { ranks, output }
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

function baseNameOf(adapters: readonly WeightedAdapter[]): string | null {
  const names = new Set(adapters.map(({ adapter }) => adapter.config?.base_model_name_or_path))
  const [only] = names
  return names.size === 1 && typeof only === 'string' ? only : null
}
