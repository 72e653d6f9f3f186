import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { syncEntries } from './sync-folder.js'

/** How {@link writeFileAtomic} writes. */
export interface WriteFileAtomicOptions {
  /** Wait until the disk has the bytes. Default true. */
  sync?: boolean
}

/**
 * Writes a file so that its name shows the old content or the new one, never a part.
 *
 * @param path - path of the file; an existing one is replaced
 * @param data - its whole content, text as UTF-8
 * @param options - whether to wait for the disk
 * @throws TaskfoldError NOT_FOUND when the folder is missing, DISK_FULL, IO_ERROR
 */
export async function writeFileAtomic(
  path: string,
  data: Uint8Array | string,
  options: WriteFileAtomicOptions = {},
): Promise<void> {
  const aside = `${path}.${randomUUID()}.partial`
  const sync = options.sync ?? true
  try {
    const handle = await open(aside, 'wx')
    try {
      await handle.writeFile(data)
      if (sync) await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(aside, path)
  } catch (error) {
    await rm(aside, { force: true }).catch(() => undefined)
    throw toTaskfoldError(error, { file: path, action: 'write' })
  }
  if (sync) await syncEntries(dirname(path))
}
