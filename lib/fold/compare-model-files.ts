import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { packableFiles } from './packable-files.js'

/** Configs, tokenizer and other small files of a task against the base's. */
export interface ModelFiles {
  /** Byte for byte in the base too: not stored again. */
  shared: string[]
  /** Only in the task, or different. */
  own: string[]
  /** Bytes of `own`. */
  ownBytes: number
}

/**
 * Tells which of a task's other files the base has too.
 *
 * @param base - the model whose files go to merged/
 * @param task - the task's model
 * @param signal - stops between files
 * @returns names, in the order of `otherFiles`
 * @throws TaskfoldError NOT_FOUND or IO_ERROR naming the file
 */
export async function compareModelFiles(
  base: Checkpoint,
  task: Checkpoint,
  signal?: AbortSignal,
): Promise<ModelFiles> {
  const known = new Set(packableFiles(base))
  const result: ModelFiles = { shared: [], own: [], ownBytes: 0 }
  for (const name of packableFiles(task)) {
    throwIfAborted(signal)
    const [mine, theirs] = [join(task.folder, name), join(base.folder, name)]
    try {
      const { size } = await stat(mine)
      if (known.has(name) && (await sameBytes(mine, theirs, size))) result.shared.push(name)
      else {
        result.own.push(name)
        result.ownBytes += size
      }
    } catch (error) {
      throw toTaskfoldError(error, { file: mine, action: 'read' })
    }
  }
  return result
}

/** Larger than any tokenizer; a file above it is simply stored again. */
const MAX_COMPARED_BYTES = 256 * 1024 * 1024

async function sameBytes(a: string, b: string, size: number): Promise<boolean> {
  if (a === b) return true
  if (size > MAX_COMPARED_BYTES || (await stat(b)).size !== size) return false
  return (await readFile(a)).equals(await readFile(b))
}
