import type { LowRankProduct, NativeDeviceSet, Operand, ProductLayer } from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { NativeFiles } from '../binding/native-files.js'
import { byteBatches } from '../io/byte-batches.js'
import type { LoraLayer } from './adapter-types.js'

/** One native call: milliseconds of work, so that a cancel is noticed and progress is lively. */
const BATCH_BYTES = 64 * 1024 * 1024
const BATCH_LAYERS = 64

/** A layer of one or several adapters, Σ coefficient · s·B·A. */
export interface LayerSum {
  /** Name for errors. */
  module: string
  rows: number
  columns: number
  parts: { layer: LoraLayer; coefficient: number }[]
}

/** Where the factors of a layer go. */
export interface LayerTarget {
  rank: number
  b: Operand
  a: Operand
}

/** How the layers are computed. */
export interface TruncateOptions {
  files: NativeFiles
  threads?: number
  /** GPUs that decompose; absent: the CPU. */
  device?: NativeDeviceSet
  signal?: AbortSignal
  /** Bytes of the layers done so far. */
  onBytes?: (bytes: number) => void
}

/**
 * Bytes of the factors that make a layer.
 *
 * @param sum - the layer
 * @returns bytes that will be read
 */
export function layerBytes(sum: LayerSum): number {
  return sum.parts.reduce((bytes, { layer }) => bytes + layer.a.length + layer.b.length, 0)
}

/**
 * Computes singular values of layers and, where asked for, their best factors of a rank; the products are never formed.
 *
 * @param layers - sums of LoRA products
 * @param target - where a layer's factors go; null: singular values only
 * @param options - open files, threads, signal
 * @returns all singular values of every layer, descending
 * @throws TaskfoldError NON_FINITE naming file, tensor and index, FILE_TRUNCATED, DISK_FULL, IO_ERROR, CANCELLED
 */
export async function truncateLayers(
  layers: readonly LayerSum[],
  target: ((module: string) => LayerTarget) | null,
  options: TruncateOptions,
): Promise<Float64Array[]> {
  const { files, threads, device, signal, onBytes } = options
  const found: Float64Array[] = []
  let done = 0
  const limits = { bytes: BATCH_BYTES, items: BATCH_LAYERS, sizeOf: layerBytes }
  for (const batch of byteBatches(layers, limits)) {
    const job = { split: 'sqrt' as const, layers: batch.map((sum) => productLayer(sum, target, files)) }
    const sums = new Map(batch.map((sum) => [sum.module, sum]))
    found.push(
      ...(await callNative((control) => native().truncateProducts(job, control), {
        threads,
        device,
        signal,
        context: {
          operand(operand, module) {
            const [part] = sums.get(module ?? '')?.parts ?? []
            return { file: operand === 'a' ? part?.layer.a.file : part?.layer.b.file }
          },
        },
      })),
    )
    done += batch.reduce((bytes, sum) => bytes + layerBytes(sum), 0)
    onBytes?.(done)
  }
  return found
}

function productLayer(
  sum: LayerSum,
  target: ((module: string) => LayerTarget) | null,
  files: NativeFiles,
): ProductLayer {
  const { module, rows, columns, parts } = sum
  const products = parts.map(({ layer, coefficient }) => productOf(layer, coefficient, files))
  const to = target?.(module)
  return {
    name: module,
    rows,
    columns,
    products,
    keep: to?.rank ?? null,
    outB: to?.b ?? null,
    outA: to?.a ?? null,
  }
}

/**
 * A LoRA layer as native jobs take it.
 *
 * @param layer - its factors on disk
 * @param coefficient - multiplies its scale
 * @param files - open files
 * @returns the product
 */
export function productOf(layer: LoraLayer, coefficient: number, files: NativeFiles): LowRankProduct {
  return {
    b: files.operand(layer.b),
    a: files.operand(layer.a),
    rank: layer.rank,
    scale: layer.scale * coefficient,
  }
}
