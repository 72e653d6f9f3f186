import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { sortNames } from '../checkpoint/names.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { familyFiles } from '../pack/family-files.js'
import type { Manifest } from '../pack/manifest-types.js'
import { BASE_FOLDER, MERGED_FOLDER, TASKS_FOLDER } from '../pack/pack-format.js'

/**
 * Finds files of a family that family.json does not list: nothing vouches for them. Hidden files are left out.
 *
 * @param folder - the family's folder
 * @param manifest - its manifest
 * @returns paths inside the family, with '/', in bytewise order
 * @throws TaskfoldError IO_ERROR
 */
export async function unlistedFiles(folder: string, manifest: Manifest): Promise<string[]> {
  const listed = new Set(familyFiles(manifest).map((file) => file.path))
  const found: string[] = []
  const walk = async (path: string): Promise<void> => {
    for (const entry of await readdir(join(folder, path), { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue
      const inside = `${path}/${entry.name}`
      if (entry.isDirectory()) await walk(inside)
      else if (!listed.has(inside)) found.push(inside)
    }
  }
  try {
    if (manifest.merged !== undefined) await walk(MERGED_FOLDER)
    if (manifest.base.files !== undefined) await walk(BASE_FOLDER)
    if (manifest.tasks.length > 0) await walk(TASKS_FOLDER)
  } catch (error) {
    throw toTaskfoldError(error, { file: folder, action: 'list' })
  }
  return sortNames(found)
}
