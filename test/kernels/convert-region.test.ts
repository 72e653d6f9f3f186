import test from 'ava'
import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { seededRandom } from '../helpers/random.js'
import {
  decodeFloat,
  decodeFloats,
  encodeFloats,
  FLOAT_DTYPES,
  FLOAT_FIELDS,
} from '../reference/float-convert.js'
import { native } from './addon.js'
import { differ, regionMaker } from './regions.js'

/** Every pattern of a narrow dtype; of f32: each narrow value, its neighbours, and the middles where rounding turns. */
function interestingBytes(dtype: FloatDtype): Uint8Array {
  const { bytes } = FLOAT_FIELDS[dtype]
  if (bytes === 1) return Uint8Array.from({ length: 256 }, (_, i) => i)
  if (bytes === 2) return new Uint8Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer)
  const patterns: number[] = []
  for (let high = 0; high < 65536; high++) {
    for (const low of [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff]) patterns.push(high * 65536 + low)
  }
  // Middles of two neighbours of the narrower dtypes, and one step to either side.
  const view = new DataView(new ArrayBuffer(4))
  for (const narrow of ['F16', 'F8_E4M3', 'F8_E5M2'] as const) {
    for (let bits = 0; bits < 2 ** (FLOAT_FIELDS[narrow].bytes * 8) - 1; bits++) {
      const middle = (decodeFloat(narrow, bits) + decodeFloat(narrow, bits + 1)) / 2
      if (!Number.isFinite(middle)) continue
      view.setFloat32(0, middle)
      const pattern = view.getUint32(0)
      patterns.push(pattern, (pattern + 1) % 2 ** 32, Math.max(0, pattern - 1))
    }
  }
  return new Uint8Array(Uint32Array.from(patterns).buffer)
}

/** Elements whose value changed; NaN to NaN does not count. */
function countInexact(from: FloatDtype, to: FloatDtype, source: Uint8Array, target: Uint8Array): number {
  const before = decodeFloats(from, source)
  const after = decodeFloats(to, target)
  return before.reduce((count, x, i) => count + (Object.is(x, after[i]) ? 0 : 1), 0)
}

test.serial('every dtype to every dtype, all patterns, every SIMD target', async (t) => {
  const regions = regionMaker(t, seededRandom(1))
  for (const from of FLOAT_DTYPES) {
    const source = interestingBytes(from)
    const elements = source.length / FLOAT_FIELDS[from].bytes
    for (const to of FLOAT_DTYPES) {
      // Also to the same dtype: every NaN becomes the canonical one.
      const expected = encodeFloats(to, decodeFloats(from, source))
      const inexact = countInexact(from, to, source, expected)
      await forEachSimdTarget(native, async (target) => {
        const out = regions.output(expected.length)
        const result = await native.convertRegion(
          {
            elements,
            from: { region: regions.input(source), dtype: from },
            to: { region: out.region, dtype: to },
          },
          {},
        )
        t.is(differ(out.read(), expected), '', `${from} → ${to} with ${target}`)
        t.is(result.inexact, inexact, `${from} → ${to} with ${target}`)
      })
      regions.clear()
    }
  }
})

test.serial('sizes around vectors and blocks, unaligned, any thread count', async (t) => {
  const random = seededRandom(2)
  const regions = regionMaker(t, random)
  for (const elements of [0, 1, 2, 3, 7, 15, 16, 17, 31, 63, 64, 65, 1000, 65535, 65537, 131073, 262145]) {
    const [from, to] = [random.pick(FLOAT_DTYPES), random.pick(FLOAT_DTYPES)]
    const source = Uint8Array.from({ length: elements * FLOAT_FIELDS[from].bytes }, () => random.u32())
    const expected = encodeFloats(to, decodeFloats(from, source))
    const out = regions.output(expected.length)
    const job = {
      elements,
      from: { region: regions.input(source), dtype: from },
      to: { region: out.region, dtype: to },
    }
    await native.convertRegion(job, { threads: random.pick([1, 2, 3, 7]) })
    t.is(differ(out.read(), expected), '', `${elements} of ${from} → ${to}`)
  }
})
