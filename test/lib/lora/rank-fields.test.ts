import test from 'ava'
import { matchPatterns } from '../../../lib/lora/match-patterns.js'
import { rankFields } from '../../../lib/lora/rank-fields.js'
import { seededRandom } from '../../helpers/random.js'

/** The ranks that PEFT reads out of the fields. */
function ranksRead(fields: ReturnType<typeof rankFields>, modules: string[]): number[] {
  const keys = Object.keys(fields.rank_pattern)
  const found = matchPatterns(keys, modules, { file: '', field: '' })
  return found.map((i) => (i < 0 ? fields.r : fields.rank_pattern[keys[i]!]!))
}

test('one rank needs no patterns', (t) => {
  const fields = rankFields(
    new Map([
      ['a', 4],
      ['b', 4],
    ]),
  )
  t.deepEqual(JSON.parse(JSON.stringify(fields)), {
    r: 4,
    lora_alpha: 4,
    rank_pattern: {},
    alpha_pattern: {},
  })
})

test('layers below the largest rank have patterns, for alpha the same', (t) => {
  const fields = rankFields(
    new Map([
      ['m.0.q', 2],
      ['m.1.q', 8],
      ['m.2.q', 3],
    ]),
  )
  const patterns = { 'm.0.q': 2, 'm.2.q': 3 }
  t.deepEqual(JSON.parse(JSON.stringify(fields)), {
    ...{ r: 8, lora_alpha: 8, rank_pattern: patterns, alpha_pattern: patterns },
  })
})

test('names that would fit other modules are escaped and begin with ^', (t) => {
  const keys = (ranks: [string, number][]) => Object.keys(rankFields(new Map(ranks)).rank_pattern)
  t.deepEqual(
    keys([
      ['lin', 1],
      ['a.lin', 2],
    ]),
    ['^lin'],
  )
  t.deepEqual(
    keys([
      ['a.b', 1],
      ['axb', 2],
    ]),
    ['^a\\.b'],
  )
  t.deepEqual(
    keys([
      ['a.b', 1],
      ['axb', 1],
      ['c', 2],
    ]),
    ['a.b', 'axb'],
  )
  t.deepEqual(
    keys([
      ['a(b', 1],
      ['c', 2],
    ]),
    ['^a\\(b'],
  )
})

test('PEFT reads the ranks that were written (random names)', (t) => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seededRandom(seed)
    const part = () => random.pick(['a', 'b', '0', '1', 'a_b', 'x+', '__proto__'])
    const names = Array.from({ length: 1 + random.below(10) }, () =>
      Array.from({ length: 1 + random.below(3) }, part).join('.'),
    )
    const ranks = new Map(names.map((name) => [name, 1 + random.below(3)]))
    const fields = rankFields(ranks)
    t.deepEqual(ranksRead(fields, [...ranks.keys()]), [...ranks.values()], `seed ${seed}`)
  }
})
