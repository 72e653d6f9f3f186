/**
 * One line of the table.
 *
 * @typedef {object} Row
 * @property {string} label what was evaluated
 * @property {string} reference its key in reference.json
 * @property {Record<string, number>} correct right answers by task
 * @property {number | null} deltaBytes average bytes of a task's remainder, index included; null: the row stores none
 * @property {number} totalBytes everything that must be stored to have all the tasks
 */

const percent = (part, whole) => ((100 * part) / whole).toFixed(1)
const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`

/**
 * The result as a Markdown table: accuracy in percent by task, then bytes.
 *
 * @param {Row[]} rows the first row is what the others' bytes are compared with
 * @param {string[]} tasks
 * @param {number} pictures test pictures of a task
 */
export function resultTable(rows, tasks, pictures) {
  const whole = rows[0].totalBytes
  const head = ['model', ...tasks, 'mean', 'delta a task', 'stored in all', 'of six models']
  const body = rows.map((row) => {
    const counts = tasks.map((task) => row.correct[task])
    const mean = counts.reduce((sum, count) => sum + count, 0) / tasks.length
    const accuracies = [...counts, mean].map((count) => percent(count, pictures))
    const delta = row.deltaBytes === null ? '' : kilobytes(row.deltaBytes)
    return [row.label, ...accuracies, delta, kilobytes(row.totalBytes), `${percent(row.totalBytes, whole)} %`]
  })
  const widths = head.map((_, i) => Math.max(...[head, ...body].map((cells) => cells[i].length)))
  const line = (cells) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [line(head), rule, ...body.map(line)].join('\n')
}

/**
 * What differs from the reference by more than one picture.
 *
 * @param {Row[]} rows
 * @param {Record<string, { correct: Record<string, number> }>} reference
 * @returns {string[]} one line per difference, empty when all agree
 */
export function differences(rows, reference) {
  const lines = []
  for (const row of rows) {
    for (const [task, count] of Object.entries(row.correct)) {
      const expected = reference[row.reference].correct[task]
      if (Math.abs(count - expected) > 1) {
        lines.push(`${row.label}, ${task}: ${count} right answers, the reference has ${expected}`)
      }
    }
  }
  return lines
}
