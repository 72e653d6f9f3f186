import test from 'ava'
import { stepRate } from '../../../lib/fold/code-rates.js'
import { findStep } from '../../../lib/fold/find-step.js'
import { ResidualBins } from '../../../lib/fold/residual-bins.js'

/** Magnitudes between 2⁻¹⁰ and 1, fewer the larger. */
const bins = new ResidualBins(
  { first: 117 * 128, counts: Float64Array.from({ length: 1280 }, (_, i) => 1000 * Math.exp(-i / 200)) },
  300_000,
)

for (const [name, overhead] of [
  ['a constant overhead', () => 700],
  ['an overhead that grows with what is coded', (bytes: number) => 300 + 0.4 * bytes],
  ['an overhead that vanishes when nothing is coded', (bytes: number) => (bytes === 0 ? 0 : 1500)],
] as const) {
  for (const target of [2000, 10_000, 60_000]) {
    test(`finds a step that uses ${target} bytes, with ${name}`, async (t) => {
      const tried: number[] = []
      const { step, result } = await findStep([bins], 0.65, target, async (candidate) => {
        tried.push(candidate)
        const bytes = stepRate([bins], candidate, 0.65).bits / 8
        return { bytes: bytes + overhead(bytes) }
      })
      t.is(tried.at(-1), step)
      t.true(tried.length <= 7)
      t.true(result.bytes <= target && result.bytes > 0.9 * target, `${result.bytes} of ${target}: ${tried}`)
    })
  }
}

test('a target below the tables codes nothing', async (t) => {
  const { result } = await findStep([bins], 0.65, 10, async (candidate) => {
    const bytes = stepRate([bins], candidate, 0.65).bits / 8
    return { bytes: bytes + 50 }
  })
  t.is(result.bytes, 50)
})
