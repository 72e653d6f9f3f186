import test from 'ava'
import { chooseRanks, type RankedLayer } from '../../../lib/lora/choose-ranks.js'
import type { RankRule } from '../../../lib/lora/rank-rule.js'

function layer(module: string, values: number[], more: Partial<RankedLayer> = {}): RankedLayer {
  const singularValues = new Float64Array(values)
  return { module, rows: 10, columns: 10, bytesPerParameter: 4, rank: values.length, singularValues, ...more }
}

const one = (values: number[], rule: RankRule, maxRank?: number) =>
  chooseRanks([layer('a', values)], rule, maxRank).get('a')

test('energy: the smallest rank with the share of squares', (t) => {
  // Squares 16, 4, 4, 1: of 25.
  const values = [4, 2, 2, 1]
  for (const [share, rank] of [
    [0.1, 1],
    [16 / 25, 1],
    [0.65, 2],
    [0.8, 2],
    [0.81, 3],
    [0.96, 3],
    [0.97, 4],
    [1, 4],
  ] as const) {
    t.is(one(values, { kind: 'energy', share }), rank, `${share}`)
    t.is(one(values, { kind: 'sv-fro', share: Math.sqrt(share) - 1e-12 }), rank, `fro ${share}`)
  }
})

test('sv-cumulative: the smallest rank with the share of the sum', (t) => {
  const values = [4, 2, 2, 0]
  for (const [share, rank] of [
    [0.2, 1],
    [0.5, 1],
    [0.51, 2],
    [0.75, 2],
    [0.76, 3],
    [1, 3],
  ] as const)
    t.is(one(values, { kind: 'sv-cumulative', share }), rank, `${share}`)
})

test('sv-ratio: what is above the largest ÷ ratio', (t) => {
  const values = [8, 4, 2, 1]
  for (const [ratio, rank] of [
    [1, 1],
    [2, 1],
    [2.1, 2],
    [4, 2],
    [5, 3],
    [100, 4],
  ] as const)
    t.is(one(values, { kind: 'sv-ratio', ratio }), rank, `${ratio}`)
})

test('every rule: at least 1, at most what there is and maxRank; zeros and one value', (t) => {
  const rules: RankRule[] = [
    { kind: 'energy', share: 1 },
    { kind: 'sv-fro', share: 1 },
    { kind: 'sv-cumulative', share: 1 },
    { kind: 'sv-ratio', ratio: 1e9 },
    { kind: 'budget', parameters: 1e9 },
    { kind: 'budget-bytes', bytes: 1e9 },
  ]
  for (const rule of rules) {
    t.is(one([3, 2, 1], rule), 3, rule.kind)
    t.is(one([3, 2, 1], rule, 2), 2, rule.kind)
    t.is(one([3, 2, 1], rule, 1), 1, rule.kind)
    t.is(one([0, 0, 0], rule), 1, rule.kind)
    t.is(one([5], rule), 1, rule.kind)
    t.is(one([1e200, 1e199, 1e198], rule), 3, rule.kind)
    t.is(one([1e-200, 1e-201], rule), 2, rule.kind)
  }
})

test('rank: one for all, no more than the largest; singular values are not needed', (t) => {
  const layers = [layer('a', [], { rank: 4 }), layer('b', [], { rank: 8 })]
  const ranks = (rank: number, maxRank?: number) => [...chooseRanks(layers, { kind: 'rank', rank }, maxRank)]
  t.deepEqual(ranks(2), [
    ['a', 2],
    ['b', 2],
  ])
  t.deepEqual(ranks(6), [
    ['a', 6],
    ['b', 6],
  ])
  t.deepEqual(ranks(99), [
    ['a', 8],
    ['b', 8],
  ])
  t.deepEqual(ranks(6, 3), [
    ['a', 3],
    ['b', 3],
  ])
})
