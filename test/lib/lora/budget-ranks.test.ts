import test from 'ava'
import { budgetRanks } from '../../../lib/lora/budget-ranks.js'
import type { RankedLayer } from '../../../lib/lora/choose-ranks.js'
import { seededRandom } from '../../helpers/random.js'

function layer(module: string, rows: number, columns: number, values: number[], bytes = 4): RankedLayer {
  const singularValues = new Float64Array(values)
  return { module, rows, columns, bytesPerParameter: bytes, rank: values.length, singularValues }
}

const costOf = ({ rows, columns }: RankedLayer) => rows + columns
const parameters = (layers: readonly RankedLayer[], ranks: ReadonlyMap<string, number>) =>
  layers.reduce((sum, l) => sum + costOf(l) * ranks.get(l.module)!, 0)
const lost = (layers: readonly RankedLayer[], ranks: ReadonlyMap<string, number>) =>
  layers.reduce((sum, { module, singularValues }) => {
    return sum + singularValues.slice(ranks.get(module)).reduce((s, v) => s + v * v, 0)
  }, 0)

/** Every choice of ranks of at least 1. */
function allChoices(layers: readonly RankedLayer[]): Map<string, number>[] {
  let choices = [new Map<string, number>()]
  for (const { module, singularValues } of layers) {
    choices = choices.flatMap((choice) =>
      Array.from(singularValues, (_, i) => new Map([...choice, [module, i + 1]])),
    )
  }
  return choices
}

test('up to the first that does not fit, nothing of the same size is better (brute force)', (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seededRandom(seed)
    const layers = Array.from({ length: 1 + random.below(4) }, (_, i) => {
      const values = Array.from({ length: 1 + random.below(4) }, () =>
        random.chance(0.1) ? 0 : random.below(6) + random.unit(),
      )
      return layer(
        `m${i}`,
        1 + random.below(9),
        1 + random.below(9),
        values.sort((a, b) => b - a),
      )
    })
    const choices = allChoices(layers)
    const full = parameters(layers, new Map(layers.map((l) => [l.module, l.singularValues.length])))
    const least = parameters(layers, new Map(layers.map((l) => [l.module, 1])))
    for (let limit = least; limit <= full + 1; limit++) {
      const ranks = budgetRanks(layers, { parameters: limit })
      const used = parameters(layers, ranks)
      t.true(used <= limit, `seed ${seed}, limit ${limit}`)
      // Nothing that is left over fits.
      for (const l of layers) {
        const next = l.singularValues[ranks.get(l.module)!] ?? 0
        if (next > 0) t.true(used + costOf(l) > limit, `seed ${seed}, limit ${limit}`)
      }
    }
    // A limit that the order of σ² ÷ cost reaches exactly leaves nothing to fill: it is the best of its size.
    const order = layers
      .flatMap((l) =>
        Array.from(l.singularValues.slice(1), (v) => ({ ratio: (v * v) / costOf(l), cost: costOf(l) })),
      )
      .filter(({ ratio }) => ratio > 0)
      .sort((a, b) => b.ratio - a.ratio)
    let limit = least
    for (const { cost } of [{ cost: 0 }, ...order]) {
      limit += cost
      const error = lost(layers, budgetRanks(layers, { parameters: limit }))
      const best = Math.min(
        ...choices.filter((c) => parameters(layers, c) <= limit).map((c) => lost(layers, c)),
      )
      t.true(error <= best * (1 + 1e-12) + 1e-12, `seed ${seed}, limit ${limit}: ${error} > ${best}`)
    }
  }
})

test('ties go to the first module by name, then to the earlier component', (t) => {
  const layers = [layer('b', 1, 1, [3, 2, 2]), layer('a', 1, 1, [3, 2, 2])]
  const ranks = (limit: number) => budgetRanks(layers, { parameters: limit })
  t.deepEqual(
    [...ranks(4)],
    [
      ['b', 1],
      ['a', 1],
    ],
  )
  t.deepEqual(
    [...ranks(6)],
    [
      ['b', 1],
      ['a', 2],
    ],
  )
  t.deepEqual(
    [...ranks(8)],
    [
      ['b', 1],
      ['a', 3],
    ],
  )
  t.deepEqual(
    [...ranks(10)],
    [
      ['b', 2],
      ['a', 3],
    ],
  )
})

test('what is left is filled with what still fits', (t) => {
  const layers = [layer('large', 10, 10, [9, 9]), layer('small', 1, 1, [1, 0.5, 0.1])]
  t.deepEqual(
    [...budgetRanks(layers, { parameters: 26 })],
    [
      ['large', 1],
      ['small', 3],
    ],
  )
})

test('bytes count each layer’s dtype', (t) => {
  const layers = [layer('a', 5, 5, [2, 2], 2), layer('b', 5, 5, [2, 2], 4)]
  t.deepEqual(
    [...budgetRanks(layers, { bytes: 80 })],
    [
      ['a', 2],
      ['b', 1],
    ],
  )
})

test('a budget below one component a layer says the least', (t) => {
  const layers = [layer('a', 5, 5, [2]), layer('b', 3, 4, [2])]
  t.throws(() => budgetRanks(layers, { parameters: 16 }), {
    code: 'INVALID_ARGUMENT',
    message: /17 parameters/,
  })
  t.throws(() => budgetRanks(layers, { bytes: 67 }), { code: 'INVALID_ARGUMENT', message: /68 bytes/ })
  t.notThrows(() => budgetRanks(layers, { bytes: 68 }))
})
