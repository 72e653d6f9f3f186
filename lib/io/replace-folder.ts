import { rename, rm } from 'node:fs/promises'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { targetState } from './output-target.js'

/**
 * Gives a finished folder its final name. Two renames cannot be one step, so an old folder there keeps a name until
 * the new one has taken its place.
 *
 * @param work - the finished folder
 * @param target - its final name, on the same file system
 * @throws TaskfoldError IO_ERROR; the old folder is then still in place
 */
export async function replaceFolder(work: string, target: string): Promise<void> {
  const aside = asideName(target)
  try {
    const replaces = (await targetState(target)) === 'replaceable'
    if (replaces) await rename(target, aside)
    try {
      await rename(work, target)
    } catch (error) {
      if (replaces) await rename(aside, target)
      throw error
    }
    if (replaces) await rm(aside, { recursive: true, force: true })
  } catch (error) {
    throw toTaskfoldError(error, { file: target, action: 'give the finished folder its name' })
  }
}

/**
 * Repairs what a kill inside {@link replaceFolder} left: the old folder comes back when the new one is not there yet,
 * and goes when it is.
 *
 * @param target - the final name
 * @param interrupted - true when a stale lock shows that an earlier run was killed, so that the folder aside is ours
 * @throws TaskfoldError OUTPUT_EXISTS when someone else's folder has the name that is needed, IO_ERROR
 */
export async function recoverReplaced(target: string, interrupted: boolean): Promise<void> {
  const aside = asideName(target)
  const state = await targetState(aside)
  if (state === 'absent') return
  if (!interrupted) {
    throw new TaskfoldError('OUTPUT_EXISTS', `${aside} is in the way and was not made by taskfold`, {
      file: aside,
      hint: 'Move it away or choose another output folder.',
    })
  }
  try {
    if ((await targetState(target)) === 'absent') await rename(aside, target)
    else await rm(aside, { recursive: true, force: true })
  } catch (error) {
    throw toTaskfoldError(error, { file: aside, action: 'clean up' })
  }
}

const asideName = (target: string) => `${target}.partial.old`
