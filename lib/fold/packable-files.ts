import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { isDeltaFile } from '../pack/delta-names.js'
import { WEIGHT_FILE } from '../pack/manifest-files.js'
import { isPackPath } from '../pack/pack-path.js'

/**
 * A model's other files that a family can hold: names that are paths on every file system, each once (also where case
 * does not count). The rare rest is left out.
 *
 * @param checkpoint - an opened model, or an adapter
 * @returns names, in the order of `otherFiles`
 */
export function packableFiles(checkpoint: Pick<Checkpoint, 'otherFiles'>): string[] {
  const seen = new Set<string>()
  return checkpoint.otherFiles.filter((name) => {
    const key = name.toLowerCase()
    if (!isPackPath(name) || isDeltaFile(name) || WEIGHT_FILE.test(key) || seen.has(key)) return false
    seen.add(key)
    return true
  })
}
