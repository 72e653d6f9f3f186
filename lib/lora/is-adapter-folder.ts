import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { SINGLE_FILE } from '../checkpoint/find-weights.js'
import { parseHubRepo, resolveHubCache } from '../checkpoint/hub-cache.js'
import { INDEX_FILE } from '../checkpoint/shard-index.js'
import { CONFIG_FILE } from './read-adapter-config.js'

/**
 * Whether a source is a PEFT adapter and no model: adapter_config.json is there, weights of a model are not. Nothing is
 * read.
 *
 * @param source - a path, or `org/name[@revision]` of the local Hugging Face cache when there is no such path
 * @param options - the cache's root
 * @returns true for a folder of an adapter; false for everything else, also for what is not there
 */
export async function isAdapterFolder(source: string, options: { cacheDir?: string } = {}): Promise<boolean> {
  if (typeof source !== 'string' || source === '' || source.includes('\0')) return false
  let folder = resolve(source)
  if (!(await exists(folder))) {
    if (parseHubRepo(source) === null) return false
    const snapshot = await resolveHubCache(source, options).catch(() => null)
    if (snapshot === null) return false
    folder = resolve(snapshot)
  }
  if (!(await exists(join(folder, CONFIG_FILE)))) return false
  return !(await exists(join(folder, SINGLE_FILE))) && !(await exists(join(folder, INDEX_FILE)))
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
