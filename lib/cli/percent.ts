/**
 * @param share - a part of 1; null when there is nothing to compare
 * @returns for instance `10 %`, `2.03 %`, or a dash
 */
export function percent(share: number | null): string {
  if (share === null || !Number.isFinite(share)) return '–'
  return `${Number((share * 100).toPrecision(3))} %`
}
