import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { type OpenedDevice, withDevice } from '../binding/choose-device.js'
import type { UsedDevice } from '../binding/device-choice.js'
import { NativeFiles } from '../binding/native-files.js'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { readCheckpoint } from '../checkpoint/open-checkpoint.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { openOutputFolder } from '../io/atomic-output.js'
import { createProgress } from '../io/progress.js'
import type { AdapterWarning } from './adapter-types.js'
import { type ExtractedLayer, extractLayers } from './extract-layers.js'
import { type LeftOutTensor, measureLeftOut } from './extract-left-out.js'
import { checkExtractOptions, type ExtractSettings, type LoraExtractOptions } from './extract-options.js'
import { type ExtractPlan, planExtract } from './extract-plan.js'
import { writeExtracted } from './write-extracted.js'

/** What {@link loraExtract} did. */
export interface LoraExtractResult extends UsedDevice {
  /** Absolute path of the adapter's folder. */
  output: string
  /** In bytewise order of their modules; modules that did not change are not among them. */
  layers: ExtractedLayer[]
  /** Modules whose weight is the base's: they need no adapter. */
  unchanged: string[]
  /** Tensors stored whole, as PEFT's modules_to_save. */
  saved: string[]
  /** Tensors of the fine-tune that the adapter leaves out. */
  leftOut: LeftOutTensor[]
  /** Largest rank of a layer. */
  rank: number
  /** Share of the decomposed matrices' squared norm that the adapter holds. */
  retainedEnergy: number
  /** √(1 − retainedEnergy), from what each layer lost. */
  relativeError: number
  /** The same share of the whole task vector θt − θ0, what was left out included. */
  capturedEnergy: number
  /** Bytes of the adapter's tensors. */
  bytes: number
  /** Bytes of the fine-tune's tensors. */
  originalBytes: number
  /** What a user of the adapter should know. */
  warnings: AdapterWarning[]
  /** Wall-clock seconds. */
  seconds: number
}

const SPILL_FILE = '.factors.partial'

/**
 * Makes a PEFT adapter of a full fine-tune: the randomized SVD of θt − θ0, matrix by matrix (Halko, Martinsson, Tropp
 * 2011). Both models are streamed in row blocks; memory is that of one sketch.
 *
 * @param options - base, fine-tune, output, rank or energy, and which modules
 * @returns singular values and relative error of every layer, and what the adapter leaves out
 * @throws TaskfoldError INVALID_ARGUMENT, NOT_FOUND, NOTHING_TO_MERGE, NON_FINITE, OUTPUT_EXISTS, OUTPUT_BUSY, DISK_FULL,
 * INPUT_CHANGED, CANCELLED, IO_ERROR, DEVICE_UNAVAILABLE, or a code of the safetensors checks
 *
 * @example
 * ```ts
 * await loraExtract({ base: './llama', finetuned: './llama-chat', output: './chat-lora', rank: 32 })
 * ```
 */
export async function loraExtract(options: LoraExtractOptions): Promise<LoraExtractResult> {
  const start = performance.now()
  const settings = checkExtractOptions(options)
  const { signal } = settings
  throwIfAborted(signal)
  const { cacheDir } = settings
  const base = await readCheckpoint(settings.base, { cacheDir, signal })
  const tuned = await readCheckpoint(settings.finetuned, { cacheDir, signal })
  const plan = planExtract(base, tuned, settings.choice)
  return await withDevice(options, (device) => extract({ base, tuned, plan }, settings, device, start))
}

async function extract(
  { base, tuned, plan }: { base: Checkpoint; tuned: Checkpoint; plan: ExtractPlan },
  settings: ExtractSettings,
  device: OpenedDevice,
  start: number,
): Promise<LoraExtractResult> {
  const { signal } = settings
  const folder = await openOutputFolder(settings.output, {
    force: settings.force,
    sync: settings.sync,
    inputs: [base, tuned].flatMap((model) => [model.folder, ...model.files.map(({ path }) => path)]),
  })
  const files = new NativeFiles()
  try {
    const progress = createProgress(settings.onProgress, 'decompose', passBytes(plan, settings.powerIters))
    const layerSettings = { ...settings, device: device.set }
    const spill = join(folder.work, SPILL_FILE)
    const found = await extractLayers(plan.layers, spill, files, layerSettings, progress)
    const leftOut = await measureLeftOut(plan.leftOut, files, settings)
    const written = await writeExtracted(folder.work, { base, plan, found, files, settings })
    await found.spill.remove()
    for (const model of [base, tuned]) await assertUnchanged(model)
    await folder.commit(signal)
    progress.done()
    const layers = found.layers.map(({ report }) => report)
    return {
      output: folder.final,
      layers,
      unchanged: found.unchanged,
      saved: plan.saved.map(({ name }) => name),
      leftOut,
      ...written,
      ...energies(layers, leftOut),
      originalBytes: tuned.totalBytes,
      device: device.device,
      deviceNote: device.deviceNote,
      seconds: (performance.now() - start) / 1000,
    }
  } catch (error) {
    throw toTaskfoldError(error, { file: settings.output, action: 'write' })
  } finally {
    files.close()
    await folder.discard()
  }
}

/** Every pass reads both models once: one for each power iteration, and two at the end. */
function passBytes(plan: { layers: { base: { length: number }; tuned: { length: number } }[] }, q: number) {
  return plan.layers.reduce((sum, { base, tuned }) => sum + (base.length + tuned.length) * (q + 2), 0)
}

function energies(
  layers: readonly ExtractedLayer[],
  leftOut: readonly LeftOutTensor[],
): Pick<LoraExtractResult, 'retainedEnergy' | 'relativeError' | 'capturedEnergy'> {
  const all = layers.reduce((sum, { squaredNorm }) => sum + squaredNorm, 0)
  const lost = layers.reduce(
    (sum, { squaredNorm, relativeError }) => sum + squaredNorm * relativeError ** 2,
    0,
  )
  const outside = leftOut.reduce((sum, { squaredNorm }) => sum + (squaredNorm ?? 0), 0)
  return {
    retainedEnergy: all === 0 ? 1 : 1 - lost / all,
    relativeError: all === 0 ? 0 : Math.sqrt(lost / all),
    capturedEnergy: all + outside === 0 ? 1 : (all - lost) / (all + outside),
  }
}
