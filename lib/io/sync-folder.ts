import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'

/** File systems without fsync for folders answer with one of these; the files themselves are safe. */
const unsupported = new Set(['EINVAL', 'ENOTSUP', 'EISDIR', 'EPERM', 'EACCES', 'EBADF'])

/**
 * Asks the disk to make a folder and everything in it permanent. Symbolic links are not followed.
 *
 * @param folder - path of the folder
 * @param signal - stops between two files
 * @throws TaskfoldError DISK_FULL or IO_ERROR when a file's bytes could not be written out, CANCELLED
 */
export async function syncFolder(folder: string, signal?: AbortSignal): Promise<void> {
  try {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      throwIfAborted(signal)
      const path = join(folder, entry.name)
      if (entry.isDirectory()) await syncFolder(path, signal)
      else if (entry.isFile()) await syncFile(path)
    }
  } catch (error) {
    throw toTaskfoldError(error, { file: folder, action: 'write out' })
  }
  await syncEntries(folder)
}

/**
 * Makes the names inside one folder permanent, for example after a rename.
 *
 * @param folder - path of the folder
 * @throws TaskfoldError IO_ERROR
 */
export async function syncEntries(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r')
    await handle.sync().finally(() => handle.close())
  } catch (error) {
    if (unsupported.has((error as NodeJS.ErrnoException).code ?? '')) return
    throw toTaskfoldError(error, { file: folder, action: 'write out' })
  }
}

async function syncFile(path: string): Promise<void> {
  try {
    const handle = await open(path, 'r')
    await handle.sync().finally(() => handle.close())
  } catch (error) {
    throw toTaskfoldError(error, { file: path, action: 'write out' })
  }
}
