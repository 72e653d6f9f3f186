// node scripts/test-counts.mjs STATUS LOG…: adds up the test counts in the logs of ava and native-tests.mjs and prints
// `N passed, N failed`. A run that failed without a counted failure (a compile error, say) counts as one.
import { readFileSync } from 'node:fs'

const [status, ...logs] = process.argv.slice(2)
let passed = 0
let failed = 0
for (const log of logs) {
  const text = readFileSync(log, 'utf8')
  const sum = (pattern) => [...text.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0)
  const lines = (pattern) => [...text.matchAll(pattern)].length
  // ava's summary leaves out the passed tests when one failed; its list has a mark for each.
  passed += Math.max(lines(/^\s*✔ /gm), sum(/^\s*(\d+) tests? passed/gm))
  passed += sum(/^native tests: (\d+) passed/gm)
  failed += sum(/^\s*(\d+) (?:tests?|hooks?) failed/gm) + sum(/^native tests: \d+ passed, (\d+) failed/gm)
  failed += sum(/^\s*(\d+) (?:uncaught exceptions?|unhandled rejections?)/gm)
  // A test file that crashed or holds no test.
  failed += lines(/^\s*✘ (?:.* exited |No tests found )/gm)
}
if (status !== '0' && failed === 0) failed = 1
console.log(`${passed} passed, ${failed} failed`)
