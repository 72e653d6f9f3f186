import type { TaskfoldError } from '../errors/taskfold-error.js'
import { openInput } from './open-input.js'
import { readRange } from './read-range.js'

/** What the file is and how large it may be. */
export interface ReadSmallFileOptions {
  /** Largest size accepted, in bytes. */
  maxBytes: number
  /** Error for a larger file. */
  tooLarge: (bytes: number) => TaskfoldError
  /** Stops the reading. */
  signal?: AbortSignal
}

/**
 * Reads a whole file that is meant to be small, such as an index or a configuration.
 *
 * @param path - path of the file; symbolic links are followed
 * @param options - the limit and the error beyond it
 * @returns its bytes
 * @throws TaskfoldError NOT_FOUND, IO_ERROR, FILE_TRUNCATED, CANCELLED, or what `tooLarge` makes
 */
export async function readSmallFile(path: string, options: ReadSmallFileOptions): Promise<Buffer> {
  const { handle, stats } = await openInput(path)
  try {
    if (stats.size > options.maxBytes) throw options.tooLarge(stats.size)
    const bytes = await readRange(handle, 0, stats.size, { file: path, signal: options.signal })
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  } finally {
    await handle.close()
  }
}
