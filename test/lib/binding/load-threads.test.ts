import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'ava'

/** OpenBLAS would start a thread for every core when it is loaded; the addon must not bring idle threads along. */
const PROGRAM = `
const { readdirSync } = require('node:fs')
const threads = () => readdirSync('/proc/self/task').length
const before = threads()
require(process.argv[1])
console.log(threads() - before)
`

test('loading the addon starts no thread', (t) => {
  if (process.platform !== 'linux') return t.pass('threads are counted in /proc')
  const loader = join(import.meta.dirname, '../../../lib/native.cjs')
  const printed = execFileSync(process.execPath, ['-e', PROGRAM, loader], { encoding: 'utf8' })
  return t.is(printed.trim(), '0')
})
