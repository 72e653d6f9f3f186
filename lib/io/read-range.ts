import type { FileHandle } from 'node:fs/promises'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'

/** One read: large enough for full disk speed, small enough that a cancel is noticed within milliseconds. */
const CHUNK_BYTES = 8 * 1024 * 1024

/** What a range belongs to, and how to stop reading it. */
export interface ReadRangeOptions {
  /** Path of the file, for errors. */
  file: string
  /** Tensor that the bytes belong to, for errors. */
  tensor?: string
  /** Stops between two chunks. */
  signal?: AbortSignal
}

/**
 * Reads bytes at a position, whatever the file's size; does not move any file position.
 *
 * @param handle - open file
 * @param offset - first byte
 * @param length - number of bytes
 * @param options - names for errors, and a signal
 * @returns exactly `length` bytes
 * @throws TaskfoldError FILE_TRUNCATED when the file ends earlier, OUT_OF_MEMORY when the bytes do not fit into one
 * buffer, CANCELLED, IO_ERROR
 */
export async function readRange(
  handle: FileHandle,
  offset: number,
  length: number,
  options: ReadRangeOptions,
): Promise<Uint8Array> {
  const { file, tensor, signal } = options
  throwIfAborted(signal)
  const bytes = allocate(length, file, tensor)
  let done = 0
  while (done < length) {
    throwIfAborted(signal)
    const step = Math.min(CHUNK_BYTES, length - done)
    let bytesRead: number
    try {
      bytesRead = (await handle.read(bytes, done, step, offset + done)).bytesRead
    } catch (error) {
      throw toTaskfoldError(error, { file, tensor, action: 'read' })
    }
    if (bytesRead === 0) {
      throw new TaskfoldError(
        'FILE_TRUNCATED',
        `${file} ends at byte ${offset + done}, but bytes up to ${offset + length} are needed`,
        { file, tensor, hint: 'The file became shorter while it was used: fetch it again.' },
      )
    }
    done += bytesRead
  }
  return bytes
}

function allocate(length: number, file: string, tensor: string | undefined): Uint8Array {
  try {
    return new Uint8Array(length)
  } catch (cause) {
    throw new TaskfoldError('OUT_OF_MEMORY', `no memory for ${length} bytes of ${file} in one piece`, {
      file,
      tensor,
      cause,
      hint: 'Read it in parts, or on a machine with more memory.',
    })
  }
}
