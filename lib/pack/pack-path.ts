/** Longest path inside a family, in UTF-8 bytes; file systems allow 255 for a part and about 4096 for the whole. */
const MAX_PATH_BYTES = 1024
const MAX_PART_BYTES = 255

/**
 * Tells whether a string from a manifest may become a path below a folder: '/' between parts, no part empty, hidden,
 * `.` or `..`, no backslash, colon or control character.
 *
 * @param path - anything, also from a hostile file
 * @returns true when joining it to a folder cannot leave the folder
 */
export function isPackPath(path: unknown): path is string {
  if (typeof path !== 'string' || Buffer.byteLength(path) > MAX_PATH_BYTES) return false
  return path.split('/').every(isPathPart)
}

function isPathPart(part: string): boolean {
  if (part === '' || part.startsWith('.') || /[\\:]/.test(part) || Buffer.byteLength(part) > MAX_PART_BYTES) {
    return false
  }
  // A lone surrogate would be written under another name than it was checked by.
  return Array.from(part).every((c) => c.codePointAt(0)! > 31 && c.codePointAt(0) !== 127 && !isSurrogate(c))
}

function isSurrogate(character: string): boolean {
  const code = character.codePointAt(0)!
  return code >= 0xd800 && code <= 0xdfff
}
