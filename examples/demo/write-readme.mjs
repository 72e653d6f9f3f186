import { readFileSync, writeFileSync } from 'node:fs'

/**
 * Puts text between two markers of a Markdown file.
 *
 * @param {string} file
 * @param {string} text
 * @param {string} [marker] its name
 */
export function writeReadme(file, text, marker = 'demo') {
  const first = `<!-- ${marker}:begin -->`
  const last = `<!-- ${marker}:end -->`
  const readme = readFileSync(file, 'utf8')
  const begin = readme.indexOf(first)
  const end = readme.indexOf(last)
  if (begin < 0 || end < begin) throw new Error(`${file}: the lines ${first} and ${last} are missing`)
  writeFileSync(file, `${readme.slice(0, begin + first.length)}\n${text}\n${readme.slice(end)}`)
}
