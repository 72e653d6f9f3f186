// node scripts/test-counts.mjs STATUS LOG…: adds up the test counts in the logs of ava and native-tests.mjs and prints
// `N passed, N failed`. A run that failed without a counted failure (a crash, a compile error) counts as one.
import { readFileSync } from 'node:fs'

const [status, ...logs] = process.argv.slice(2)
let passed = 0
let failed = 0
for (const log of logs) {
  const text = readFileSync(log, 'utf8')
  const add = (pattern) => [...text.matchAll(pattern)].reduce((sum, match) => sum + Number(match[1]), 0)
  passed += add(/^\s*(\d+) tests? passed/gm) + add(/^native tests: (\d+) passed/gm)
  failed += add(/^\s*(\d+) tests? failed/gm) + add(/^native tests: \d+ passed, (\d+) failed/gm)
  failed += add(/^\s*(\d+) (?:uncaught exceptions?|unhandled rejections?)/gm)
}
if (status !== '0' && failed === 0) failed = 1
console.log(`${passed} passed, ${failed} failed`)
