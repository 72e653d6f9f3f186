import test from 'ava'
import { keptCount } from '../../../lib/fold/kept-count.js'

test('k is m·n rounded half up, within 0 and n', (t) => {
  t.is(keptCount(0, 10), 0)
  t.is(keptCount(1, 10), 10)
  t.is(keptCount(0.05, 10), 1)
  t.is(keptCount(0.049, 10), 0)
  t.is(keptCount(0.5, 3), 2)
  t.is(keptCount(0.1, 0), 0)
  t.is(keptCount(1, 2 ** 40 + 1), 2 ** 40 + 1)
})
