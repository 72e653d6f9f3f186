import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { parseHubRepo, resolveHubCache } from './hub-cache.js'

/**
 * Where a model or an adapter lies: a path that exists, else a snapshot in the local Hugging Face cache.
 *
 * @param source - a path, or org/name[@revision]
 * @param cacheDir - root of the cache, by default what the environment says
 * @param hint - what else may be given, for the error: "or org/name of the Hugging Face cache" follows
 * @returns absolute path
 * @throws TaskfoldError NOT_FOUND, IO_ERROR
 */
export async function locateSource(
  source: string,
  cacheDir: string | undefined,
  hint: string,
): Promise<string> {
  const path = resolve(source)
  try {
    await stat(path)
    return path
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw toTaskfoldError(error, { file: path, action: 'open' })
    if (parseHubRepo(source)) return resolve(await resolveHubCache(source, { cacheDir }))
    throw new TaskfoldError('NOT_FOUND', `${source} does not exist`, {
      file: path,
      cause: error,
      hint: `${hint}, or org/name[@revision] of the Hugging Face cache.`,
    })
  }
}
