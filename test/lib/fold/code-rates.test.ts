import test from 'ava'
import { solveRate, sparseRate, stepRate } from '../../../lib/fold/code-rates.js'
import { ResidualBins } from '../../../lib/fold/residual-bins.js'
import { seededRandom } from '../../helpers/random.js'

/** Heavy-tailed residuals, and zeros. */
function residuals(count: number, seed: number): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: count }, () => {
    if (random.unit() < 0.05) return 0
    const size = -0.002 * Math.log(1 - random.unit()) * (random.unit() < 0.01 ? 20 : 1)
    return random.unit() < 0.5 ? -size : size
  })
}

/** The histogram as docs of NativeHistogram define it, one at a time. */
function binsOf(values: Float32Array): ResidualBins {
  const counts = new Map<number, number>()
  for (const value of values) {
    const magnitude = Float32Array.of(Math.abs(value))
    const bits = new Uint32Array(magnitude.buffer)[0]!
    if (bits === 0) continue
    counts.set(bits >>> 16, (counts.get(bits >>> 16) ?? 0) + 1)
  }
  const numbers = [...counts.keys()].sort((a, b) => a - b)
  const first = numbers[0] ?? 0
  const dense = new Float64Array(numbers.length === 0 ? 0 : numbers.at(-1)! - first + 1)
  for (const [bin, count] of counts) dense[bin - first] = count
  return new ResidualBins({ first, counts: dense }, values.length)
}

function entropy(symbols: readonly number[]): number {
  const counts = new Map<number, number>()
  for (const symbol of symbols) counts.set(symbol, (counts.get(symbol) ?? 0) + 1)
  return [...counts.values()].reduce((sum, n) => sum + n * Math.log2(symbols.length / n), 0)
}

const near = (found: number, expected: number, share: number) =>
  Math.abs(found - expected) <= share * Math.abs(expected)

test('step: bits and error of the model against every residual quantised', (t) => {
  const groups = [residuals(200_000, 1), residuals(50_000, 2).map((u) => u * 5)]
  const bins = groups.map(binsOf)
  for (const step of [0.0005, 0.002, 0.008, 0.05]) {
    for (const deadZone of [0.5, 0.65]) {
      let bits = 0
      let error = 0
      let kept = 0
      for (const values of groups) {
        const codes = Array.from(
          values,
          (u) => Math.sign(u) * Math.max(0, Math.floor(Math.abs(u) / step + 1 - deadZone)),
        )
        bits += entropy(codes)
        kept += codes.filter((q) => q !== 0).length
        values.forEach((u, i) => {
          error += (u - codes[i]! * step) ** 2
        })
      }
      const rate = stepRate(bins, step, deadZone)
      t.true(near(rate.bits / 1.01, bits, 0.01), `bits at ${step}: ${rate.bits / 1.01}, really ${bits}`)
      t.true(near(rate.errorSquared, error, 0.01), `error at ${step}: ${rate.errorSquared}, really ${error}`)
      t.true(near(rate.kept, kept, 0.01), `kept at ${step}: ${rate.kept}, really ${kept}`)
    }
  }
})

test('exact and sign: what is left out, and one scale a group', (t) => {
  const values = residuals(200_000, 3)
  const bins = [binsOf(values)]
  const sorted = Array.from(values, Math.abs).sort((a, b) => b - a)
  for (const density of [0.01, 0.1, 0.5]) {
    const kept = Math.round(density * values.length)
    const left = sorted.slice(kept).reduce((sum, u) => sum + u * u, 0)
    const mean = sorted.slice(0, kept).reduce((sum, u) => sum + u, 0) / kept
    const spread = sorted.slice(0, kept).reduce((sum, u) => sum + (u - mean) ** 2, 0)
    const exact = sparseRate('exact', bins, density, 'BF16')
    t.true(near(exact.kept, kept, 0.001))
    t.true(near(exact.errorSquared, left, 0.01), `${density}: ${exact.errorSquared}, really ${left}`)
    const sign = sparseRate('sign', bins, density, 'BF16')
    t.true(near(sign.errorSquared, left + spread, 0.01))
    t.true(sign.bits < exact.bits)
  }
  const all = sparseRate('sign', bins, 1, 'BF16')
  t.true(all.kept === values.length || near(all.kept, values.length, 0.06))
})

test('empty groups, only zeros, nothing kept', (t) => {
  const empty = binsOf(new Float32Array(0))
  const zeros = binsOf(new Float32Array(1000))
  t.deepEqual(stepRate([empty, zeros], 0.1, 0.65), { bits: 0, errorSquared: 0, kept: 0 })
  const none = sparseRate('exact', [empty, binsOf(residuals(1000, 4))], 0, 'F32')
  t.is(none.kept, 0)
  t.is(none.bits, 0)
  t.true(none.errorSquared > 0)
})

test('solveRate finds the parameter just below the target, whichever way the rate goes', (t) => {
  const bins = [binsOf(residuals(100_000, 5))]
  for (const target of [1000, 20_000, 100_000]) {
    const step = solveRate((x) => stepRate(bins, x, 0.65).bits, target, { least: 1, most: 1e-6 })
    const { bits } = stepRate(bins, step, 0.65)
    t.true(bits <= target && bits > 0.99 * target, `${bits} of ${target}`)
    const density = solveRate((x) => sparseRate('int4', bins, x, 'F32').bits, target, { least: 0, most: 1 })
    const sparse = sparseRate('int4', bins, density, 'F32').bits
    t.true(sparse <= target && sparse > 0.98 * target, `${sparse} of ${target}`)
  }
})
