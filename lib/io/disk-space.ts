import { statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
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
