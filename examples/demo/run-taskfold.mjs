import { spawnSync } from 'node:child_process'
import path from 'node:path'

const root = path.join(import.meta.dirname, '..', '..')

/**
 * Runs the command line as a user would, from the root of the clone, and shows the command.
 *
 * @param {string[]} args words after `taskfold`; paths relative to the root
 * @param {object} [options]
 * @param {boolean} [options.brief] show the options that repeat for each task only once
 * @throws {Error} when the command fails
 */
export function runTaskfold(args, { brief = false } = {}) {
  console.log(`\n$ npx taskfold ${(brief ? abbreviate(args) : args).join(' ')}`)
  const result = spawnSync(process.execPath, ['bin/taskfold.js', ...args], { cwd: root, stdio: 'inherit' })
  if (result.error) throw result.error
  if (result.status !== 0) throw new Error(`taskfold ${args[0]} ended with ${result.status ?? result.signal}`)
}

/** Leaves out the second and later `--task NAME=PATH` and `--against NAME=PATH`. */
function abbreviate(args) {
  const words = []
  for (let i = 0; i < args.length; i++) {
    if (!['--task', '--against'].includes(args[i])) words.push(args[i])
    else if (!words.includes(args[i])) words.push(args[i], args[++i], '…')
    else i++
  }
  return words
}
