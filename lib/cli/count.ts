/**
 * A number with its noun.
 *
 * @param number - how many
 * @param noun - in the singular
 * @returns for instance `1 layer` or `3 layers`
 */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
