/**
 * Lays out rows of text in columns: the first column left, the others right; no trailing spaces.
 *
 * @param rows - cells; rows may have different numbers of them
 * @param left - columns that are set left, beside the first
 * @returns one line a row
 */
export function alignColumns(rows: readonly (readonly string[])[], left: readonly number[] = []): string[] {
  const widths: number[] = []
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  }
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 || left.includes(i) ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  )
}
