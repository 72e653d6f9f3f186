/**
 * Accuracies that an independent implementation in Python reached on this family with computed entropies (no files): the
 * dead-zone quantiser with one step, by λ. Real files must come within 0.5 points.
 */
const EXPECTED = { step: { lambda: 0.1, accuracy: { 0.1: 90.77, 0.25: 92.4, 0.5: 93.57, 1: 94.47 } } }

/** @typedef {{ codec: string, lambda: number | string, target: number, bits: number, relativeError: number, accuracy: number }} Row */

function markdown(head, body) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i < 2 ? '---' : '---:'))), ...body.map(line)].join('\n')
}

/**
 * Mean accuracy by codec, λ and size; in brackets the bits that the files really have and the relative error.
 *
 * @param {Row[]} rows
 * @param {number} single accuracy of the fine-tunes themselves
 * @param {number[]} sizes
 * @returns {string} Markdown
 */
export function codecTable(rows, single, sizes) {
  const settings = [...new Map(rows.map((row) => [`${row.codec} ${row.lambda}`, row])).values()]
  const cell = (row) =>
    `${row.accuracy.toFixed(2)} (${row.bits.toFixed(3)} b, error ${row.relativeError.toFixed(2)})`
  const body = settings.map(({ codec, lambda }) => [
    codec,
    `λ = ${lambda}`,
    ...sizes.map((size) =>
      cell(rows.find((row) => row.codec === codec && row.lambda === lambda && row.target === size)),
    ),
  ])
  body.unshift(['single-task models', '', ...sizes.map((_, i) => (i === 0 ? single.toFixed(2) : ''))])
  return markdown(['codec', 'θ*', ...sizes.map((size) => `${size} bits`)], body)
}

/**
 * The one-bit methods beside the codecs at one bit.
 *
 * @param {{ name: string, bits: number, accuracy: number }[]} rivals
 * @param {Row[]} rows
 * @returns {string} Markdown
 */
export function rivalTable(rivals, rows) {
  const own = rows
    .filter((row) => row.target === 1 && row.lambda === 'average')
    .map((row) => [`taskfold ${row.codec}`, 'λ = average', row.bits.toFixed(3), row.accuracy.toFixed(2)])
  const others = rivals.map(({ name, bits, accuracy }) => [name, '', bits.toFixed(3), accuracy.toFixed(2)])
  return markdown(['method', 'θ*', 'bits', 'mean accuracy'], [...own, ...others])
}

/**
 * Where real files fall short.
 *
 * @param {Row[]} rows
 * @returns {string[]} one line for each, empty when all are as expected
 */
export function frontierProblems(rows) {
  return Object.entries(EXPECTED).flatMap(([codec, { lambda, accuracy }]) =>
    Object.entries(accuracy).flatMap(([size, expected]) => {
      const row = rows.find((r) => r.codec === codec && r.lambda === lambda && r.target === Number(size))
      if (row.accuracy >= expected - 0.5 && row.bits <= row.target) return []
      return [
        `${codec} at ${size} bits: ${row.accuracy.toFixed(2)} % with ${row.bits.toFixed(3)} bits, expected ${expected} %`,
      ]
    }),
  )
}
