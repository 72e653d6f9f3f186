import { createHash } from 'node:crypto'
import { readEveryFile } from '../property/read-folder.js'

/** Names and digests of every file below a folder: quick to compare, unlike the bytes. */
export function treeDigest(folder: string): [string, string][] {
  return [...readEveryFile(folder)].map(([name, bytes]) => [
    name,
    createHash('sha256').update(bytes).digest('hex'),
  ])
}
