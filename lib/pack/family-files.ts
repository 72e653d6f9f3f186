import type { Manifest, PackFile } from './manifest-types.js'

/**
 * All files of a family that its manifest lists: merged/, base/, tasks.
 *
 * @param manifest - a checked manifest
 * @returns their entries
 */
export function familyFiles({ merged, base, tasks }: Manifest): PackFile[] {
  return [...(merged?.files ?? []), ...(base.files ?? []), ...tasks.flatMap((task) => task.files)]
}
