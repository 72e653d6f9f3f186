import test from 'ava'
import { seededRandom } from '../helpers/random.js'
import { native } from './addon.js'
import { differ } from './regions.js'

test('overwrites positions of 1, 2, 4 and 8 byte items, in memory of any alignment', async (t) => {
  const random = seededRandom(401)
  for (const itemSize of [1, 2, 4, 8] as const) {
    for (const elements of [0, 1, 9, 65537, 300_000]) {
      const whole = Uint8Array.from({ length: elements * itemSize + 3 }, () => random.u32())
      const target = whole.subarray(3)
      const picked = Array.from({ length: elements }, (_, i) => i).filter(() => random.chance(0.1))
      const values = Uint8Array.from({ length: picked.length * itemSize }, () => random.u32())
      const expected = whole.slice()
      picked.forEach((at, i) => {
        expected.set(values.subarray(i * itemSize, (i + 1) * itemSize), 3 + at * itemSize)
      })
      const positions = random.chance(0.5) ? Uint32Array.from(picked) : Float64Array.from(picked)
      await native.scatterEntries({ target, itemSize, positions, values }, { threads: random.pick([1, 3]) })
      t.is(differ(whole, expected), '', `${elements} items of ${itemSize} bytes`)
    }
  }
})

test('positions outside of the target are refused and nothing is written', async (t) => {
  const bad: (Uint32Array | Float64Array)[] = [
    Uint32Array.of(0, 4),
    Uint32Array.of(0xffffffff, 1),
    Float64Array.of(0, -1),
    Float64Array.of(0, 0.5),
    Float64Array.of(0, Number.NaN),
    Float64Array.of(0, 2 ** 60),
    Float64Array.of(0, 1 / 0),
  ]
  for (const positions of bad) {
    const target = new Uint8Array(8)
    const values = new Uint8Array(4).fill(1)
    await t.throwsAsync(async () => native.scatterEntries({ target, itemSize: 2, positions, values }, {}))
    t.deepEqual(target, new Uint8Array(8), `${positions}`)
  }
})

test('lengths and item sizes that do not fit are refused', async (t) => {
  const good = {
    target: new Uint8Array(8),
    itemSize: 2 as const,
    positions: Uint32Array.of(1),
    values: new Uint8Array(2),
  }
  const bad: object[] = [
    { values: new Uint8Array(3) },
    { itemSize: 3 },
    { itemSize: 0 },
    { target: new Uint8Array(7) },
    { positions: [1] },
    { positions: Int32Array.of(1) },
    { target: null },
    { values: 'xx' },
  ]
  for (const change of bad) {
    await t.throwsAsync(
      async () => native.scatterEntries({ ...good, ...change } as never, {}),
      undefined,
      JSON.stringify(change),
    )
  }
  await t.notThrowsAsync(native.scatterEntries(good, {}))
})
