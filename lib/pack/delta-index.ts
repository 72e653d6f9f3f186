import { compareNames } from '../checkpoint/names.js'
import { stableJson } from './stable-json.js'

/**
 * Text of `delta.safetensors.index.json`: which delta file holds which stored tensor, in the Hub's usual form.
 *
 * @param files - all delta files of a task with what they store
 * @returns JSON with a trailing newline; null when a single file needs no index
 */
export function buildDeltaIndex(
  files: readonly { fileName: string; stored: readonly { name: string; bytes: number }[] }[],
): string | null {
  if (files.length < 2) return null
  const places = files.flatMap(({ fileName, stored }) =>
    stored.map(({ name }): [string, string] => [name, fileName]),
  )
  const total = files.flatMap(({ stored }) => stored).reduce((sum, { bytes }) => sum + bytes, 0)
  places.sort(([a], [b]) => compareNames(a, b))
  return `${stableJson({ metadata: { total_size: total }, weight_map: new Map(places) }, 2)}\n`
}
