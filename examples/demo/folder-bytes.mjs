import { readdirSync, statSync } from 'node:fs'
import path from 'node:path'

/**
 * Bytes of all files in a folder and the folders below it, as `ls -l` shows them.
 *
 * @param {string} folder
 * @param {(name: string) => boolean} wanted which files to count, by their path inside the folder
 */
export function folderBytes(folder, wanted = () => true) {
  let total = 0
  for (const name of readdirSync(folder, { recursive: true })) {
    const entry = statSync(path.join(folder, name))
    if (entry.isFile() && wanted(name)) total += entry.size
  }
  return total
}
