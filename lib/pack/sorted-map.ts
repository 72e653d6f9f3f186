import { compareNames } from '../checkpoint/names.js'

/**
 * A record's entries in bytewise order of their names, whatever order they were put in.
 *
 * @param record - names to values; own properties only
 * @returns a Map in name order
 */
export function sortedMap<T>(record: Readonly<Record<string, T>>): Map<string, T> {
  return new Map(Object.entries(record).sort(([a], [b]) => compareNames(a, b)))
}
