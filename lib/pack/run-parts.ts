import type {
  CodedDelta,
  DeltaRegions,
  NativeDeviceSet,
  NativeRegion,
  ScatterTensor,
} from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { NativeFiles } from '../binding/native-files.js'
import { byteBatches } from '../io/byte-batches.js'
import { openStreams, streamDelta } from './open-streams.js'
import { deltaRegions, inputOf, type PartDelta, type TensorPart } from './tensor-parts.js'

/** A part and where its bytes go. */
export interface PartJob {
  part: TensorPart
  /** As long as the part; null for parts with a delta that is only to be decoded and checked. */
  out: NativeRegion | null
}

/** Options of {@link runParts}. */
export interface RunPartsOptions {
  /** Open input files. */
  files: NativeFiles
  /** Task, for errors. */
  task: string
  signal?: AbortSignal
  threads?: number
  /** GPUs that decode deltas; absent: the CPU. */
  device?: NativeDeviceSet
  /** Bytes written since the start of this call. */
  onBytes?: (bytes: number) => void
}

/** One native call: enough work to keep all threads busy, few enough tensors to keep the arguments small. */
const BATCH_BYTES = 64 * 1024 * 1024
const BATCH_TENSORS = 256

/**
 * Writes tensor parts to their places, many parts a native call.
 *
 * @param jobs - parts in the order to write them
 * @param options - inputs, signal, threads, progress
 * @throws TaskfoldError PACK_INVALID when a delta contradicts the format, FILE_TRUNCATED, IO_ERROR, DISK_FULL, CANCELLED
 */
export async function runParts(jobs: readonly PartJob[], options: RunPartsOptions): Promise<void> {
  const { files, task, signal, threads, device, onBytes } = options
  await openStreams(
    jobs.map((job) => job.part),
    { files, task, signal, threads },
  )
  let done = 0
  for (const batch of batches(jobs)) {
    const bytes = batch.reduce((sum, job) => sum + job.part.length, 0)
    const call = {
      signal,
      threads,
      device,
      // Native code counts what it reads, deltas included: never more than this batch's share is shown.
      onProgress: (read: number) => onBytes?.(done + Math.min(read, bytes)),
      context: { file: inputOf(batch[0]!.part), task },
    }
    if (batch[0]!.part.delta === null) {
      const copies = batch.map(({ part, out }) => ({
        name: part.tensor,
        from: files.region(part.from),
        to: out!,
      }))
      await callNative((control) => native().copyRegions({ copies }, control), call)
    } else {
      const tensors = batch.map((job) => scatterTensor(job, files))
      await callNative((control) => native().scatterTensors({ tensors }, control), call)
    }
    done += bytes
    onBytes?.(done)
  }
}

/**
 * A part with a delta as native jobs take it.
 *
 * @param job - the part, and where its bytes go
 * @param files - open input files
 * @returns the part's regions
 * @throws TaskfoldError NOT_FOUND, IO_ERROR
 */
export function scatterTensor({ part, out }: PartJob, files: NativeFiles): ScatterTensor {
  const { elements, dtype } = part.delta!
  return {
    ...{ name: part.tensor, elements, dtype, out },
    merged: files.region(part.from),
    delta: nativeDelta(part.delta!, files),
  }
}

/**
 * A delta of either kind as native jobs take it; streams have been opened with {@link openStreams}.
 *
 * @param delta - of a part
 * @param files - open input files
 * @returns regions, or the place in the open stream
 * @throws TaskfoldError NOT_FOUND, IO_ERROR
 */
export function nativeDelta(delta: PartDelta, files: NativeFiles): DeltaRegions | CodedDelta {
  return delta.stream === undefined ? deltaRegions(delta, files) : streamDelta(delta, files)
}

/** Runs of jobs of one kind and one input file, so that an error can name the file. */
function batches(jobs: readonly PartJob[]): Generator<PartJob[]> {
  return byteBatches(jobs, {
    bytes: BATCH_BYTES,
    items: BATCH_TENSORS,
    sizeOf: ({ part }) => part.length,
    apart: (first, { part }) =>
      (first.part.delta === null) !== (part.delta === null) || inputOf(first.part) !== inputOf(part),
  })
}
