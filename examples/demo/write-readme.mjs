import { readFileSync, writeFileSync } from 'node:fs'

const BEGIN = '<!-- demo:begin -->'
const END = '<!-- demo:end -->'

/**
 * Puts text between the demo's markers of a README.
 *
 * @param {string} file
 * @param {string} text
 */
export function writeReadme(file, text) {
  const readme = readFileSync(file, 'utf8')
  const begin = readme.indexOf(BEGIN)
  const end = readme.indexOf(END)
  if (begin < 0 || end < begin) throw new Error(`${file}: the lines ${BEGIN} and ${END} are missing`)
  writeFileSync(file, `${readme.slice(0, begin + BEGIN.length)}\n${text}\n${readme.slice(end)}`)
}
