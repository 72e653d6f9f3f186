import { open } from 'node:fs/promises'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'

/**
 * Writes bytes into an existing file.
 *
 * @param path - path of the file
 * @param bytes - what to write
 * @param offset - where, counted from the start of the file
 * @throws TaskfoldError NOT_FOUND, DISK_FULL, IO_ERROR
 */
export async function writeRange(path: string, bytes: Uint8Array, offset: number): Promise<void> {
  try {
    const handle = await open(path, 'r+')
    try {
      for (let at = 0; at < bytes.length; ) {
        at += (await handle.write(bytes, at, bytes.length - at, offset + at)).bytesWritten
      }
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw toTaskfoldError(error, { file: path, action: 'write' })
  }
}
