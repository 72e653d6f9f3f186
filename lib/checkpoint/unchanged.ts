import { stat } from 'node:fs/promises'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import type { Checkpoint } from './checkpoint-types.js'

/**
 * Checks that a checkpoint's files are still those whose headers were read, by size and modification time.
 *
 * @param checkpoint - what readCheckpoint gave
 * @throws TaskfoldError INPUT_CHANGED naming the file, IO_ERROR
 */
export async function assertUnchanged(checkpoint: Pick<Checkpoint, 'files'>): Promise<void> {
  for (const { path, size, mtimeMs } of checkpoint.files) {
    const now = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') throw changed(path, 'was removed')
      throw toTaskfoldError(error, { file: path, action: 'look at' })
    })
    if (now.size !== size) throw changed(path, `had ${size} bytes and now has ${now.size}`)
    if (now.mtimeMs !== mtimeMs) throw changed(path, 'was written to')
  }
}

function changed(path: string, what: string): TaskfoldError {
  return new TaskfoldError('INPUT_CHANGED', `${path} ${what} while it was in use`, {
    file: path,
    hint: 'Wait until nothing writes to the inputs, then start again.',
  })
}
