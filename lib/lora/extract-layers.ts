import type { FloatDtype, NativeDeviceSet, RandomizedSvdJob } from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { NativeFiles } from '../binding/native-files.js'
import { isFloatDtype } from '../checkpoint/dtypes.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { ProgressCounter } from '../io/progress.js'
import type { LoraLayerKind } from './adapter-types.js'
import type { ExtractSettings } from './extract-options.js'
import type { ExtractLayer } from './extract-plan.js'
import { FactorSpill, type SpilledFactors } from './factor-spill.js'

/** Ranks that an energy is tried with first; doubled until it is reached. */
const FIRST_RANK = 32

/** Settings of a call, and the GPUs that decompose; without them the CPU. */
type LayerSettings = ExtractSettings & { device?: NativeDeviceSet }

/** One decomposed matrix. */
export interface ExtractedLayer {
  /** Name of the module. */
  module: string
  /** What the weight is. */
  kind: LoraLayerKind
  /** Of the weight as the model stores it; conv kernels flattened. */
  rows: number
  /** See rows. */
  columns: number
  /** Components kept. */
  rank: number
  /** σ₁ … σ_rank of θt − θ0, descending. */
  singularValues: number[]
  /** ‖θt − θ0‖². */
  squaredNorm: number
  /** Σ σ² of the kept components ÷ squaredNorm. */
  retainedEnergy: number
  /** √(1 − retainedEnergy): the relative Frobenius error of the layer. */
  relativeError: number
  /** Bytes of its factors. */
  bytes: number
  /** Bytes of the weight. */
  originalBytes: number
}

/** All layers with their factors on disk. */
export interface ExtractedLayers {
  layers: { layer: ExtractLayer; factors: SpilledFactors; report: ExtractedLayer }[]
  /** Modules whose weight is the base's. */
  unchanged: string[]
  spill: FactorSpill
}

/**
 * Decomposes θt − θ0 of every layer, one after the other.
 *
 * @param layers - what to decompose
 * @param path - scratch file for the factors
 * @param files - open files
 * @param settings - rank or energy, sketch, dtype, signal, GPUs
 * @param progress - told about bytes read
 * @returns factors and errors
 * @throws TaskfoldError NON_FINITE, NOTHING_TO_MERGE when nothing changed, FILE_TRUNCATED, DISK_FULL, IO_ERROR, CANCELLED
 */
export async function extractLayers(
  layers: readonly ExtractLayer[],
  path: string,
  files: NativeFiles,
  settings: LayerSettings,
  progress: ProgressCounter,
): Promise<ExtractedLayers> {
  const spill = new FactorSpill(path, files)
  const found: ExtractedLayers = { layers: [], unchanged: [], spill }
  let done = 0
  for (const layer of layers) {
    const bytes = (layer.base.length + layer.tuned.length) * (settings.powerIters + 2)
    const onProgress = (read: number) =>
      progress.set(done + Math.min(read, bytes), { tensor: layer.tuned.name })
    const { factors, report } = await extractLayer(layer, spill, files, settings, onProgress)
    if (report.squaredNorm === 0) found.unchanged.push(layer.module)
    else found.layers.push({ layer, factors, report })
    done += bytes
    progress.set(done, { tensor: layer.tuned.name })
  }
  if (found.layers.length > 0) return found
  throw new TaskfoldError('NOTHING_TO_MERGE', 'base and fine-tune are equal in all chosen modules', {
    hint: 'check that base and fine-tune are not the same model',
  })
}

async function extractLayer(
  layer: ExtractLayer,
  spill: FactorSpill,
  files: NativeFiles,
  settings: LayerSettings,
  onProgress: (read: number) => void,
): Promise<{ factors: SpilledFactors; report: ExtractedLayer }> {
  const { module, kind, rows, columns, base, tuned } = layer
  const { energy, oversample, powerIters, seed, threads, device, signal } = settings
  const dtype = factorDtype(layer, settings)
  const most = Math.min(settings.rank, rows, columns)
  for (let rank = energy === null ? most : Math.min(FIRST_RANK, most); ; rank = Math.min(2 * rank, most)) {
    const place = spill.reserve({ rows, columns, rank, dtype })
    const job: RandomizedSvdJob = {
      name: module,
      ...{ rows, columns, rank, energy, oversample, powerIters, seed },
      matrix: files.operand(tuned),
      minus: files.operand(base),
      split: 'sqrt',
      outB: place.b,
      outA: place.a,
    }
    const { kept, singularValues, squaredNorm } = await callNative(
      (control) => native().randomizedSvd(job, control),
      {
        ...{ threads, device, signal, onProgress },
        context: { operand: (operand) => ({ file: operand === 'minus' ? base.file : tuned.file }) },
      },
    )
    const values = Array.from(singularValues.subarray(0, kept))
    const sum = values.reduceRight((total, value) => total + value * value, 0)
    const retainedEnergy = squaredNorm === 0 ? 1 : Math.min(1, sum / squaredNorm)
    if (energy !== null && rank < most && retainedEnergy < energy) continue
    const factors = place.keep(kept)
    const report = {
      ...{ module, kind, rows, columns, rank: kept, singularValues: values, squaredNorm, retainedEnergy },
      relativeError: Math.sqrt(1 - retainedEnergy),
      bytes: factors.a.length + factors.b.length,
      originalBytes: tuned.length,
    }
    return { factors, report }
  }
}

/**
 * Dtype of a layer's factors: that of the fine-tune unless another is asked for. 8-bit floats have too few bits for
 * factors, whose errors add up over the rank: bf16 takes their place.
 *
 * @param layer - the layer
 * @param settings - the dtype asked for
 * @returns the dtype
 */
export function factorDtype({ tuned }: ExtractLayer, { dtype }: Pick<ExtractSettings, 'dtype'>): FloatDtype {
  if (dtype !== 'keep') return dtype
  return isFloatDtype(tuned.dtype) && !tuned.dtype.startsWith('F8') ? tuned.dtype : 'BF16'
}
