import test from 'ava'
import { rankRuleOf, requiredRankRule } from '../../../lib/lora/rank-options.js'

test('each option is a rule of its own', (t) => {
  t.deepEqual(rankRuleOf({ rank: 8 }), { kind: 'rank', rank: 8 })
  t.deepEqual(rankRuleOf({ energy: 0.9 }), { kind: 'energy', share: 0.9 })
  t.deepEqual(rankRuleOf({ svRatio: 10 }), { kind: 'sv-ratio', ratio: 10 })
  t.deepEqual(rankRuleOf({ svFro: 0.9 }), { kind: 'sv-fro', share: 0.9 })
  t.deepEqual(rankRuleOf({ svCumulative: 1 }), { kind: 'sv-cumulative', share: 1 })
  t.deepEqual(rankRuleOf({ budget: { bytes: 100 } }), { kind: 'budget-bytes', bytes: 100 })
  t.deepEqual(rankRuleOf({ budget: { parameters: 100 } }), { kind: 'budget', parameters: 100 })
  t.is(rankRuleOf({}), null)
})

test('two rules, no rule and values out of range are refused', (t) => {
  const wrong = [
    { rank: 8, energy: 0.9 },
    { rank: 0 },
    { rank: 1.5 },
    { rank: '8' },
    { energy: 0 },
    { energy: 1.01 },
    { energy: Number.NaN },
    { svRatio: 0.5 },
    { svRatio: Number.POSITIVE_INFINITY },
    { svFro: -1 },
    { svCumulative: 2 },
    { budget: {} },
    { budget: { bytes: 1, parameters: 1 } },
    { budget: { bytes: -1 } },
    { budget: 5 },
    { budget: null },
  ]
  for (const options of wrong) {
    t.throws(() => rankRuleOf(options as never), { code: 'INVALID_ARGUMENT' }, JSON.stringify(options))
  }
  t.throws(() => requiredRankRule({}), { code: 'INVALID_ARGUMENT', message: /which ranks/ })
})
