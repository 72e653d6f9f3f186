// The table of docs/benchmarks.md, between its markers, from the results' JSON.
import { readFileSync, writeFileSync } from 'node:fs'

const seconds = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(1)} ms`)
const cell = (text) => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ')

function timeOf({ missing, median, min, max, runs }) {
  if (missing !== undefined) return `not measured: ${missing}`
  if (median === undefined) return 'not measured'
  return runs > 1 ? `${seconds(median)} (${seconds(min)}–${seconds(max)})` : `${seconds(median)} (one run)`
}

/** Ratio to our time: more than 1 is slower than we are. */
const ratioOf = ({ ratio }) => (ratio == null ? '' : `${ratio.toPrecision(3)}×`)

function table(rows) {
  const lines = [
    '| job | cache | who | median (min–max) | ÷ ours | target | result |',
    '|---|---|---|---|---|---|---|',
  ]
  let last
  for (const row of rows) {
    const job = row.job === last ? '' : row.job
    last = row.job
    const cells = [job, row.cache, row.alternative, timeOf(row), ratioOf(row), row.target, row.equality]
    lines.push(`| ${cells.map(cell).join(' | ')} |`)
  }
  return lines
}

/** Lines of markdown for one result file. */
export function markdown({ machine, versions, command, sections, missing }) {
  const facts = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  const { cpu, threads, memoryGiB, kernel, node, date, load } = machine
  const lines = [
    `${date}, ${cpu}, ${threads} threads, ${memoryGiB} GiB, Linux ${kernel}, Node ${node}, ${facts.join(', ')}; load before: ${load.join(', ')}.`,
    '',
    `\`${command}\``,
    '',
    ...missing.map((line) => `Missing: ${line}\n`),
    ...table(Object.values(sections).flatMap(({ rows }) => rows)),
  ]
  return lines.join('\n')
}

/** Replaces what stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`. */
export function writeBetween(file, name, text) {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`]
  const page = readFileSync(file, 'utf8')
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`${file} has no ${begin} … ${end}`)
  writeFileSync(file, `${page.slice(0, from + begin.length)}\n${text}\n${page.slice(to)}`)
}
