import test from 'ava'
import { percent } from '../../../lib/cli/percent.js'
import { noteLines } from '../../../lib/cli/plan-text.js'
import type { PlanNote } from '../../../lib/fold/plan-types.js'

test('percentages have three significant digits', (t) => {
  t.deepEqual([0.1, 0.0203, 1, 0, 0.00012345, null, Number.NaN].map(percent), [
    '10 %',
    '2.03 %',
    '100 %',
    '0 %',
    '0.0123 %',
    '–',
    '–',
  ])
})

test('long lists of notes are cut, kind by kind', (t) => {
  const note = (kind: PlanNote['kind'], i: number): PlanNote => ({
    kind,
    message: `${kind} ${i}`,
    bytes: 1000,
  })
  const lines = noteLines([
    note('tied', 0),
    ...Array.from({ length: 20 }, (_, i) => note('extra', i)),
    note('tied', 1),
  ])
  t.deepEqual(lines.slice(0, 4), [
    '',
    'note: tied 0 (1.00 kB)',
    'note: tied 1 (1.00 kB)',
    'note: extra 0 (1.00 kB)',
  ])
  t.is(lines.at(-1), 'note: … and 8 more like this')
  t.deepEqual(noteLines([]), [])
})
