import { realpath } from 'node:fs/promises'
import { isAbsolute, relative, sep } from 'node:path'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { type OutputFolder, openOutputFolder } from '../io/atomic-output.js'
import { assertSpace } from '../io/disk-space.js'
import { resolveOutputTarget } from '../io/output-target.js'
import type { MaterializeOptions } from './materialize.js'

/**
 * Opens the folder that a task is unfolded to.
 *
 * @param family - the family's folder: an input, nothing is ever written into it
 * @param folder - what the caller wants
 * @param bytes - that it will take
 * @param inputs - other paths that are read
 * @param options - force, sync
 * @returns the open folder
 * @throws TaskfoldError INVALID_ARGUMENT, DISK_FULL, OUTPUT_EXISTS, OUTPUT_BUSY, IO_ERROR
 */
export async function openOutput(
  family: string,
  folder: string,
  bytes: number,
  inputs: readonly string[],
  { force, sync }: Pick<MaterializeOptions, 'force' | 'sync'>,
): Promise<OutputFolder> {
  await refuseInside(family, folder)
  await assertSpace(folder, bytes)
  return openOutputFolder(folder, { force, sync, inputs: [family, ...inputs] })
}

async function refuseInside(family: string, folder: string): Promise<void> {
  const target = await resolveOutputTarget(folder)
  const way = relative(await realpath(family), target)
  if (way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)) return
  throw new TaskfoldError('INVALID_ARGUMENT', `the output ${folder} lies inside the family ${family}`, {
    file: folder,
    hint: 'choose a folder beside the family',
  })
}
