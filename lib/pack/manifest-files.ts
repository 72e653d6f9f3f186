import type { JsonFields } from './json-fields.js'
import type { PackFile } from './manifest-types.js'
import { isPackPath } from './pack-path.js'

/** A fingerprint as family.json writes it. */
export const FINGERPRINT = /^[0-9a-f]{32}$/
/** The unfolded folder's weights are made, never copied: a loader could prefer a copied file, and pickles run code. */
export const WEIGHT_FILE = /\.(safetensors|bin|pt|pth|ckpt|pkl|pickle|h5|msgpack|gguf|npz)$|\.index\.json$/i

/**
 * Checks a list of files.
 *
 * @param fields - the object that has `files`
 * @param prefix - folder of the family that they must lie in, with '/' at its end
 * @returns the files
 * @throws TaskfoldError PACK_INVALID
 */
export function packFiles(fields: JsonFields, prefix: string): PackFile[] {
  const seen = new Set<string>()
  return fields.items('files').map((entry) => {
    const path = entry.string('path')
    if (!isPackPath(path) || !path.startsWith(prefix))
      throw entry.wrong('path', `a plain path below ${prefix}`)
    if (seen.has(path.toLowerCase())) throw entry.wrong('path', 'a path not listed before')
    seen.add(path.toLowerCase())
    const fingerprint = entry.string('fingerprint')
    if (!FINGERPRINT.test(fingerprint)) throw entry.wrong('fingerprint', '32 lower-case hex digits')
    return { path, bytes: entry.count('bytes'), fingerprint }
  })
}

/**
 * Checks the sum over a list of files.
 *
 * @param fields - the object that has `bytes`
 * @param files - its files
 * @returns the sum
 * @throws TaskfoldError PACK_INVALID
 */
export function sumOfFiles(fields: JsonFields, files: readonly PackFile[]): number {
  const bytes = fields.count('bytes')
  const sum = files.reduce((total, file) => total + file.bytes, 0)
  if (bytes !== sum) throw fields.wrong('bytes', `the sum of its files (${sum})`)
  return bytes
}
