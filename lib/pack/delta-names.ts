import { DELTA_FILE, DELTA_INDEX_FILE } from './pack-format.js'

/**
 * Name of one of a task's delta files.
 *
 * @param i - 0 for the first
 * @param n - how many there are, at least 1
 * @returns file name inside the task's folder
 */
export function deltaFileName(i: number, n: number): string {
  if (n === 1) return DELTA_FILE
  return `delta-${digits(i + 1)}-of-${digits(n)}.safetensors`
}

/**
 * Tells a task's delta files (and their index) from the other files of its folder.
 *
 * @param name - path inside the task's folder
 * @returns true for `delta.safetensors`, its shards and its index
 */
export function isDeltaFile(name: string): boolean {
  return (
    name === DELTA_FILE || name === DELTA_INDEX_FILE || /^delta-\d{5,}-of-\d{5,}\.safetensors$/.test(name)
  )
}

function digits(i: number): string {
  return String(i).padStart(5, '0')
}
