import test from 'ava'
import type { DeltaRegions, FloatDtype, IndexCode } from '../../lib/binding/binding-types.js'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { type Random, seededRandom } from '../helpers/random.js'
import { randomFloats } from '../helpers/random-floats.js'
import { encodeDelta, type ReferenceDelta } from '../reference/delta-encode.js'
import { FLOAT_DTYPES, FLOAT_FIELDS } from '../reference/float-convert.js'
import { native } from './addon.js'
import { differ, type RegionMaker, regionMaker } from './regions.js'

interface Case {
  name: string
  elements: number
  dtype: FloatDtype
  merged: Uint8Array
  delta: ReferenceDelta | null
  expected: Uint8Array
}

function randomCase(random: Random, elements: number, share: number, index: IndexCode | null): Case {
  const dtype = random.pick(FLOAT_DTYPES)
  const size = FLOAT_FIELDS[dtype].bytes
  const merged = randomFloats(random, dtype, elements, 'bits')
  if (index === null) return { name: 'n', elements, dtype, merged, delta: null, expected: merged }
  const task = randomFloats(random, dtype, elements, 'bits')
  const positions = Array.from({ length: elements }, (_, i) => i).filter(() => random.chance(share))
  const expected = merged.slice()
  for (const at of positions) expected.set(task.subarray(at * size, (at + 1) * size), at * size)
  return { name: 'n', elements, dtype, merged, delta: encodeDelta(positions, task, size, index), expected }
}

/** Arrays with zero padding behind, as they lie in a delta file, or exact. */
function asDelta(regions: RegionMaker, random: Random, delta: ReferenceDelta | null): DeltaRegions | null {
  if (delta === null) return null
  const padded = (bytes: Uint8Array) => {
    const out = new Uint8Array(random.chance(0.5) ? bytes.length : Math.ceil(bytes.length / 8) * 8)
    out.set(bytes)
    return regions.input(out)
  }
  return {
    kept: delta.kept,
    index: delta.index,
    blocks: padded(delta.blocks),
    indexBytes: padded(delta.indexBytes),
    value: padded(delta.value),
  }
}

for (const [seed, sizes] of [
  [601, [0, 1, 2, 7, 8, 9, 63, 64, 65, 1000]],
  [602, [65535, 65536, 65537]],
  [603, [131072, 131073, 262145]],
] as const) {
  test.serial(`copies and overwrites, sizes ${sizes}, every SIMD target`, async (t) => {
    const random = seededRandom(seed)
    const regions = regionMaker(t, random)
    for (const share of [0, 0.001, 0.05, 0.3, 1]) {
      for (const index of ['u16', 'bitmap', null] as const) {
        const cases = sizes.map((n) => randomCase(random, n, share, index))
        await forEachSimdTarget(native, async (target) => {
          const outs = cases.map((c) => regions.output(c.merged.length))
          const threads = random.pick([1, 2, 3, 7])
          const tensors = cases.map((c, i) => ({
            name: c.name,
            elements: c.elements,
            dtype: c.dtype,
            merged: regions.input(c.merged),
            delta: asDelta(regions, random, c.delta),
            out: outs[i]!.region,
          }))
          await native.scatterTensors({ tensors }, { threads })
          cases.forEach((c, i) => {
            const label = `${target}, seed ${seed}, ${c.elements} × ${c.dtype}, ${index}, share ${share}, ${threads} threads`
            t.is(differ(outs[i]!.read(), c.expected), '', label)
          })
          regions.clear()
        })
      }
    }
  })
}

test.serial('what emit wrote, scatter reads: θ* and the kept entries', async (t) => {
  const random = seededRandom(606)
  const regions = regionMaker(t, random)
  for (const [elements, k] of [
    [1, 1],
    [65_537, 3000],
    [200_000, 100_000],
  ] as const) {
    for (const index of ['u16', 'bitmap'] as const) {
      const dtype = random.pick(FLOAT_DTYPES)
      const size = FLOAT_FIELDS[dtype].bytes
      const merged = randomFloats(random, dtype, elements, 'bits')
      const task = randomFloats(random, dtype, elements, 'bits')
      const operand = { region: regions.input(task), dtype }
      const region = regions.input(merged)
      const chosen = await native.selectEntries({ elements, dtype, task: operand, merged: region, k }, {})
      const file = regions.file().file
      const emitted = await native.emitDelta(
        {
          tensors: [{ name: 'w', elements, dtype, task: operand, merged: region }],
          threshold: chosen.threshold,
          index,
          out: file,
          offset: 0,
        },
        {},
      )
      const { kept, value, indexBytes, blocks } = emitted.tensors[0]!
      const delta = {
        kept,
        index,
        value: { file, ...value },
        indexBytes: { file, ...indexBytes },
        blocks: { file, ...blocks },
      }
      const out = regions.output(merged.length)
      await native.scatterTensors(
        { tensors: [{ name: 'w', elements, dtype, merged: region, delta, out: out.region }] },
        {},
      )
      const expected = merged.slice()
      for (const at of chosen.positions) expected.set(task.subarray(at * size, (at + 1) * size), at * size)
      t.is(kept, k)
      t.is(differ(out.read(), expected), '', `${elements} × ${dtype}, k ${k}, ${index}`)
    }
  }
})

test.serial('kept 0 with empty arrays is a copy', async (t) => {
  const random = seededRandom(604)
  const regions = regionMaker(t, random)
  const c = randomCase(random, 70_000, 0, null)
  const out = regions.output(c.merged.length)
  const none = new Uint8Array(0)
  const delta = { kept: 0, index: 'u16' as const, blocks: none, indexBytes: none, value: none }
  const tensors = [{ ...c, merged: regions.input(c.merged), delta, out: out.region }]
  try {
    await native.scatterTensors({ tensors }, {})
    t.is(differ(out.read(), c.merged), '')
  } catch (error) {
    // Also fine: a reader passes null for such a tensor.
    t.is((error as { code?: string }).code, 'PACK_INVALID')
  }
})

test.serial('a tensor scattered onto itself: hot swap in place', async (t) => {
  const random = seededRandom(605)
  const regions = regionMaker(t, random)
  const c = randomCase(random, 200_000, 0.05, 'u16')
  const buffer = c.merged.slice()
  const tensors = [
    {
      name: c.name,
      elements: c.elements,
      dtype: c.dtype,
      merged: c.merged,
      delta: asDelta(regions, random, c.delta),
      out: buffer,
    },
  ]
  await native.scatterTensors({ tensors }, {})
  await native.scatterTensors({ tensors }, {})
  t.is(differ(buffer, c.expected), '', 'applying twice changes nothing')
})
