import test from 'ava'
import { seededRandom } from '../helpers/random.js'
import { fingerprintReference } from '../reference/fingerprint.js'
import { native } from './addon.js'
import { PLACES, regionMaker } from './regions.js'

const LEAF = 262144
const SIZES = [0, 1, 3, 8, 9, 16, 17, 128, 129, 240, 241, 4096, LEAF - 1, LEAF, LEAF + 1, 3 * LEAF + 77]

test('memory and files give the reference, for any thread count', async (t) => {
  const random = seededRandom(11)
  const regions = regionMaker(t, random)
  const contents = SIZES.map((size) => Uint8Array.from({ length: size }, () => random.u32()))
  const expected = contents.map(fingerprintReference)
  for (const place of PLACES) {
    for (const threads of [1, 2, 7]) {
      const got = await native.fingerprintRegions(
        { regions: contents.map((bytes) => regions.input(bytes, place)) },
        { threads },
      )
      t.deepEqual(got, expected, `${place}, ${threads} threads`)
    }
  }
})

test('every flipped bit changes the fingerprint', async (t) => {
  const random = seededRandom(12)
  const bytes = Uint8Array.from({ length: 2 * LEAF + 100 }, () => random.u32())
  const variants = [bytes]
  for (const at of [0, LEAF - 1, LEAF, 2 * LEAF, bytes.length - 1, random.below(bytes.length)]) {
    const flipped = bytes.slice()
    flipped[at] = flipped[at]! ^ (1 << random.below(8))
    variants.push(flipped)
  }
  // Two leaves swapped: the tree must depend on their order.
  const swapped = bytes.slice()
  swapped.set(bytes.subarray(LEAF, 2 * LEAF), 0)
  swapped.set(bytes.subarray(0, LEAF), LEAF)
  variants.push(swapped, bytes.subarray(0, bytes.length - 1))
  const got = await native.fingerprintRegions({ regions: variants }, {})
  t.is(new Set(got).size, variants.length)
})

test('no regions, and many', async (t) => {
  t.deepEqual(await native.fingerprintRegions({ regions: [] }, {}), [])
  const many = Array.from({ length: 3000 }, (_, i) => new Uint8Array(i % 50).fill(i))
  t.deepEqual(
    await native.fingerprintRegions({ regions: many }, { threads: 3 }),
    many.map(fingerprintReference),
  )
})
