const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const

/**
 * A size for people: three significant digits in decimal units, as file managers and the Hub count.
 *
 * @param bytes - non-negative
 * @returns for instance `812 B`, `1.25 MB`
 */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  // 999.5 would be printed as 1000 of the smaller unit.
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000
    unit++
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
  return `${value.toFixed(digits)} ${UNITS[unit]}`
}
