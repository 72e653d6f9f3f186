import { constants, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'

/** An input opened for reading, and what it looked like at that moment. */
export interface OpenInput {
  /** To be closed by the caller. */
  handle: FileHandle
  /** Size and modification time of the open file itself, links resolved. */
  stats: Stats
}

/**
 * Opens a regular file for reading only. Symbolic links are followed.
 *
 * @param path - path of the file
 * @returns the handle and the file's stats
 * @throws TaskfoldError NOT_FOUND, or IO_ERROR when it cannot be opened or is no regular file
 */
export async function openInput(path: string): Promise<OpenInput> {
  let handle: FileHandle | undefined
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = await handle.stat()
    if (!stats.isFile()) {
      throw new TaskfoldError('IO_ERROR', `${path} is not a regular file`, {
        file: path,
        hint: 'Give a regular file; folders, pipes and devices cannot be read at positions.',
      })
    }
    return { handle, stats }
  } catch (error) {
    await handle?.close()
    throw toTaskfoldError(error, { file: path, action: 'open' })
  }
}
