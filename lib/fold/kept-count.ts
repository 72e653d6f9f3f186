/**
 * k = floor(m·n + 0.5): the entries that a task keeps.
 *
 * @param density - m, 0 to 1
 * @param elements - n
 * @returns k, 0 to n
 */
export function keptCount(density: number, elements: number): number {
  return Math.min(elements, Math.floor(density * elements + 0.5))
}
