import type { AddProductsTensor, FloatDtype, NativeRegion } from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { NativeFiles } from '../binding/native-files.js'
import { byteBatches } from '../io/byte-batches.js'
import { productOf } from '../lora/truncate-layers.js'
import type { MergedTensor } from './merged-tensors.js'

/** A tensor and where its bytes go. */
export interface MergedJob {
  tensor: MergedTensor
  /** As long as the tensor. */
  out: NativeRegion
}

/** Options of {@link addProducts}. */
export interface AddProductsOptions {
  /** Open input files. */
  files: NativeFiles
  /** Task, for errors. */
  task?: string
  signal?: AbortSignal
  threads?: number
  /** Called after each batch with the jobs that are done. */
  onBatch?: (jobs: readonly MergedJob[]) => Promise<void> | void
  /** Bytes written since the start of this call. */
  onBytes?: (bytes: number) => void
}

/** One native call: enough work to keep all threads busy, little enough for a quick cancel. */
const BATCH_BYTES = 64 * 1024 * 1024
const BATCH_TENSORS = 256

/**
 * Writes tensors of a merged model to their places: copies, and W = θ0 + Σ s·B·A.
 *
 * @param jobs - tensors in the order to write them
 * @param options - inputs, signal, threads, progress
 * @throws TaskfoldError NON_FINITE, FILE_TRUNCATED, IO_ERROR, DISK_FULL, CANCELLED
 */
export async function addProducts(jobs: readonly MergedJob[], options: AddProductsOptions): Promise<void> {
  const { files, task, signal, threads, onBatch, onBytes } = options
  let done = 0
  const batches = byteBatches(
    jobs.filter(({ tensor }) => tensor.length > 0),
    {
      bytes: BATCH_BYTES,
      items: BATCH_TENSORS,
      sizeOf: ({ tensor }) => tensor.length,
      apart: (a, b) => isCopy(a) !== isCopy(b) || a.tensor.from.file !== b.tensor.from.file,
    },
  )
  for (const batch of batches) {
    const bytes = batch.reduce((sum, { tensor }) => sum + tensor.length, 0)
    const layers = new Map(batch.map(({ tensor }) => [tensor.name, tensor.products[0]?.layer]))
    const call = {
      signal,
      threads,
      // Native code counts what it reads, factors included: never more than this batch's share is shown.
      onProgress: (read: number) => onBytes?.(done + Math.min(read, bytes)),
      context: {
        file: batch[0]!.tensor.from.file,
        task,
        operand(operand: string | number, tensor?: string) {
          const layer = layers.get(tensor ?? '')
          return { file: operand === 'a' ? layer?.a.file : operand === 'b' ? layer?.b.file : undefined }
        },
      },
    }
    if (isCopy(batch[0]!)) {
      const copies = batch.map(({ tensor, out }) => {
        return { name: tensor.name, from: files.region(tensor.from), to: out }
      })
      await callNative((control) => native().copyRegions({ copies }, control), call)
    } else {
      const tensors = batch.map((job) => addTensor(job, files))
      await callNative((control) => native().addProducts({ tensors }, control), call)
    }
    done += bytes
    onBytes?.(done)
    await onBatch?.(batch)
  }
}

function isCopy({ tensor }: MergedJob): boolean {
  return tensor.products.length === 0
}

/** Conv kernels are flattened: a row is an output channel. */
function addTensor({ tensor, out }: MergedJob, files: NativeFiles): AddProductsTensor {
  const { name, shape, dtype, from, products } = tensor
  return {
    name,
    rows: shape[0]!,
    columns: shape.slice(1).reduce((product, extent) => product * extent, 1),
    base: files.operand(from),
    products: products.map(({ layer, transposed, coefficient }) => ({
      ...productOf(layer, coefficient, files),
      transposed,
    })),
    out: { region: out, dtype: dtype as FloatDtype },
  }
}
