import { performance } from 'node:perf_hooks'
import { type OpenedDevice, withDevice } from '../binding/choose-device.js'
import { checkDevice, type DeviceOptions, type UsedDevice } from '../binding/device-choice.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { openOutputFolder } from '../io/atomic-output.js'
import { resolveOutputTarget } from '../io/output-target.js'
import { createProgress } from '../io/progress.js'
import { type AdapterReport, totalEnergy } from './adapter-report.js'
import type { LoraAdapter } from './adapter-types.js'
import { openAdapter } from './open-adapter.js'
import type { OutputOptions } from './output-options.js'
import { checkRank, type RankOptions, requiredRankRule } from './rank-options.js'
import type { RankRule } from './rank-rule.js'
import { decomposeBytes, factorBytes, previewResizedAdapter, writeResizedAdapter } from './write-adapter.js'

/** Dtypes that factors can be stored in; 'keep': as they were. */
export type AdapterDtype = 'keep' | 'f32' | 'f16' | 'bf16'

/** What {@link loraResize} is asked to do; exactly one way to choose ranks. On a GPU the last bits differ from the CPU's. */
export interface LoraResizeOptions extends RankOptions, OutputOptions, DeviceOptions {
  /** A PEFT folder, org/name[@revision] in the local cache, or a kohya / LoCon .safetensors file. */
  adapter: string
  /** Folder to write. Must not exist, unless `force`. */
  output: string
  /** Highest rank of any layer. */
  maxRank?: number
  /** Dtype of the new factors. Default 'keep'. */
  dtype?: AdapterDtype
  /** Only says what would be written. Default false. */
  dryRun?: boolean
}

/** What {@link loraResize} did. */
export interface LoraResizeResult extends AdapterReport, UsedDevice {
  /** Absolute path of the folder. */
  output: string
  /** True when nothing was written. */
  dryRun: boolean
  /** Layout of the adapter's files. */
  format: 'peft' | 'kohya'
  /** Over all layers: share of the squared Frobenius norm that is kept. */
  retainedEnergy: number
  /** Over all layers: √(lost ÷ whole squared norm). */
  relativeError: number
  /** Wall-clock seconds. */
  seconds: number
}

/**
 * Gives an adapter lower ranks: every layer's s·B·A becomes its best approximation of its new rank in the Frobenius norm
 * (PERU-LoRA, arXiv 2310.01886). The product is never formed: QR of both factors, SVD of the small core in f64. The scale
 * is folded in: afterwards lora_alpha = r.
 *
 * @param options - adapter, output and how to choose ranks
 * @returns singular values, retained energy and bytes of every layer
 * @throws TaskfoldError INVALID_ARGUMENT, NOT_FOUND, ADAPTER_INVALID, ADAPTER_UNSUPPORTED, NON_FINITE, OUTPUT_EXISTS,
 * OUTPUT_BUSY, DISK_FULL, INPUT_CHANGED, CANCELLED, IO_ERROR, DEVICE_UNAVAILABLE, or a code of the safetensors checks
 *
 * @example
 * ```ts
 * await loraResize({ adapter: './style-lora', output: './style-r8', rank: 8 })
 * ```
 */
export async function loraResize(options: LoraResizeOptions): Promise<LoraResizeResult> {
  const start = performance.now()
  const { signal, cacheDir } = options
  const rule = requiredRankRule(options)
  const maxRank = options.maxRank === undefined ? undefined : checkRank('maxRank', options.maxRank)
  const dtype = checkAdapterDtype(options.dtype)
  checkDevice(options)
  throwIfAborted(signal)
  const adapter = await openAdapter(options.adapter, { cacheDir, signal })
  const settings = { rule, maxRank, dtype }
  return await withDevice(options, (device) => resize(adapter, settings, device, options, start))
}

async function resize(
  adapter: LoraAdapter,
  checked: { rule: RankRule; maxRank?: number; dtype: 'keep' | 'F32' | 'F16' | 'BF16' },
  { set, device, deviceNote }: OpenedDevice,
  options: LoraResizeOptions,
  start: number,
): Promise<LoraResizeResult> {
  const { threads, signal, sync, force } = options
  const settings = { ...checked, threads, device: set, signal, sync }
  const result = (report: AdapterReport, output: string): LoraResizeResult => ({
    ...report,
    ...totalEnergy(report.layers),
    output,
    dryRun: options.dryRun ?? false,
    device,
    deviceNote,
    format: adapter.format,
    seconds: (performance.now() - start) / 1000,
  })
  const bytes = options.dryRun ? factorBytes(adapter) : decomposeBytes(adapter, checked.rule)
  const progress = createProgress(options.onProgress, 'decompose', bytes)
  const onBytes = (done: number) => progress.set(done)
  if (options.dryRun) {
    const report = await previewResizedAdapter(adapter, { ...settings, onBytes })
    progress.done()
    return result(report, await resolveOutputTarget(options.output))
  }
  const folder = await openOutputFolder(options.output, {
    force,
    sync,
    inputs: [adapter.folder, ...adapter.checkpoint.files.map(({ path }) => path)],
  })
  try {
    const report = await writeResizedAdapter(adapter, folder.work, { ...settings, onBytes })
    await folder.commit(signal)
    progress.done()
    return result(report, folder.final)
  } catch (error) {
    throw toTaskfoldError(error, { file: options.output, action: 'write' })
  } finally {
    await folder.discard()
  }
}

/**
 * Checks a dtype option.
 *
 * @param dtype - as given
 * @returns its safetensors name, or keep
 * @throws TaskfoldError INVALID_ARGUMENT
 */
export function checkAdapterDtype(dtype: unknown): 'keep' | 'F32' | 'F16' | 'BF16' {
  if (dtype === undefined || dtype === 'keep') return 'keep'
  if (dtype === 'f32' || dtype === 'f16' || dtype === 'bf16')
    return dtype.toUpperCase() as 'F32' | 'F16' | 'BF16'
  throw new TaskfoldError(
    'INVALID_ARGUMENT',
    `dtype must be keep, f32, f16 or bf16, got ${JSON.stringify(dtype)}`,
  )
}
