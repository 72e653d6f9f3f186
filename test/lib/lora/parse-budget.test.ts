import test from 'ava'
import { parseBudget } from '../../../lib/lora/parse-budget.js'

const good: [string, { bytes: number } | { parameters: number }][] = [
  ['10MB', { bytes: 10_000_000 }],
  ['5MiB', { bytes: 5 * 2 ** 20 }],
  ['800kB', { bytes: 800_000 }],
  ['800 KB', { bytes: 800_000 }],
  ['2GiB', { bytes: 2 ** 31 }],
  ['123456', { bytes: 123_456 }],
  ['7B', { bytes: 7 }],
  ['1.5MB', { bytes: 1_500_000 }],
  ['1.0000009MB', { bytes: 1_000_000 }],
  ['2Mparams', { parameters: 2_000_000 }],
  ['500kp', { parameters: 500_000 }],
  ['1000000params', { parameters: 1_000_000 }],
  ['3 parameters', { parameters: 3 }],
  ['1Gp', { parameters: 1_000_000_000 }],
  [' 1mb ', { bytes: 1_000_000 }],
]

for (const [text, budget] of good) {
  test(`${text} is a budget`, (t) => {
    t.deepEqual(parseBudget(text), budget)
  })
}

const bad = [
  '',
  '0',
  '0MB',
  '-1MB',
  '10M',
  'MB',
  '1e6',
  '10TB',
  '5iB',
  '5Mip',
  'params',
  '0.5',
  '1..5MB',
  '9e9GB',
  '99999999GB',
  '10MBs',
  '١MB',
]
for (const text of bad) {
  test(`${JSON.stringify(text)} is no budget`, (t) => {
    t.throws(() => parseBudget(text), { code: 'INVALID_ARGUMENT' })
  })
}
