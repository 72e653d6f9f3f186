import { statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'

/**
 * Free bytes for this user on the disk that holds a folder, or would hold it: asks the nearest parent that exists.
 *
 * @param folder - path of a folder, existing or not
 * @returns free bytes
 * @throws TaskfoldError IO_ERROR when the file system does not answer
 */
export async function freeBytes(folder: string): Promise<number> {
  let path = resolve(folder)
  for (;;) {
    try {
      const { bavail, bsize } = await statfs(path, { bigint: true })
      return Number(bavail * bsize)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code
      const parent = dirname(path)
      if ((code !== 'ENOENT' && code !== 'ENOTDIR') || parent === path) {
        throw toTaskfoldError(error, { file: path, action: 'ask for the free space of' })
      }
      path = parent
    }
  }
}

/**
 * Refuses an output that its disk has no room for.
 *
 * @param folder - folder to be written
 * @param bytes - what it takes at most
 * @throws TaskfoldError DISK_FULL, IO_ERROR
 */
export async function assertSpace(folder: string, bytes: number): Promise<void> {
  const free = await freeBytes(folder)
  if (free >= bytes) return
  throw new TaskfoldError('DISK_FULL', `${folder} needs ${bytes} bytes, but its disk has ${free} free`, {
    file: folder,
    hint: 'free some space or write to another disk',
  })
}
