import { TaskfoldError } from '../errors/taskfold-error.js'
import { FORMAT_VERSION } from './pack-format.js'

/**
 * An error about a pack of a newer release.
 *
 * @param file - path of the file that says so
 * @param found - what this release does not know
 * @returns PACK_VERSION to throw
 */
export function newerVersion(file: string, found: string): TaskfoldError {
  return new TaskfoldError(
    'PACK_VERSION',
    `${file}: ${found} is not known to this release (format ${FORMAT_VERSION})`,
    {
      file,
      hint: 'install a newer taskfold to read this family',
    },
  )
}
