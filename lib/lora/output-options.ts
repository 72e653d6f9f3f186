import type { OnProgress } from '../io/progress.js'

/** Common to the calls that write an adapter or a merged model. */
export interface OutputOptions {
  /** Threads at most. Default: the machine's. The result does not depend on it. */
  threads?: number
  /** Replace an existing output. Default false. */
  force?: boolean
  /** Hugging Face cache to look up org/name in. */
  cacheDir?: string
  /** Wait until the disk has everything. Default true. */
  sync?: boolean
  /** Stops within milliseconds; nothing half-written stays. */
  signal?: AbortSignal
  /** Called at most 20 times a second. */
  onProgress?: OnProgress
}

/**
 * Takes the common options out of the others.
 *
 * @param options - of a call
 * @returns only those of {@link OutputOptions}
 */
export function outputOptions(options: OutputOptions): OutputOptions {
  const { threads, force, cacheDir, sync, signal, onProgress } = options
  return { threads, force, cacheDir, sync, signal, onProgress }
}
