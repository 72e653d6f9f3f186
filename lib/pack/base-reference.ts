import { parseHubRepo } from '../checkpoint/hub-cache.js'

/** As long as a path may be on Linux and macOS. */
const MAX_REFERENCE_BYTES = 4096

/** Where a family's base is: a path from the family's folder, or a repository of the Hub. */
export type BaseReference = { kind: 'path'; path: string } | { kind: 'hub'; source: string }

/**
 * Reads `base.reference` of a manifest. The two kinds cannot be mistaken for each other: a path from the family's folder
 * to something outside it begins with `..`, and no repository's name does.
 *
 * @param reference - anything, also from a hostile file
 * @returns what it says; null when it is neither
 */
export function parseBaseReference(reference: unknown): BaseReference | null {
  if (typeof reference !== 'string' || Buffer.byteLength(reference) > MAX_REFERENCE_BYTES) return null
  if (!/^\.\.(\/|$)/.test(reference)) {
    return parseHubRepo(reference) === null ? null : { kind: 'hub', source: reference }
  }
  const parts = reference.split('/')
  const below = parts.slice(parts.findIndex((part) => part !== '..'))
  const plain = parts.every((part) => part === '..') || below.every(isPlain)
  return plain ? { kind: 'path', path: reference } : null
}

function isPlain(part: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a path must not hold
  return part !== '' && part !== '.' && part !== '..' && !/[\u0000-\u001f\u007f\\]/.test(part)
}
