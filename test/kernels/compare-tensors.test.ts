import test from 'ava'
import type { DeltaRegions, TensorDifference } from '../../lib/binding/binding-types.js'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { seededRandom } from '../helpers/random.js'
import { randomFloats } from '../helpers/random-floats.js'
import { encodeDelta, type ReferenceDelta } from '../reference/delta-encode.js'
import { convertFloats, decodeFloats, FLOAT_DTYPES, FLOAT_FIELDS } from '../reference/float-convert.js'
import { native } from './addon.js'
import { type RegionMaker, regionMaker } from './regions.js'

/** Bits of two arrays of one dtype, item by item. */
function differingItems(a: Uint8Array, b: Uint8Array, size: number): number[] {
  const out: number[] = []
  for (let i = 0; i < a.length / size; i++) {
    for (let j = 0; j < size; j++) {
      if (a[i * size + j] !== b[i * size + j]) {
        out.push(i)
        break
      }
    }
  }
  return out
}

function asDelta(regions: RegionMaker, delta: ReferenceDelta): DeltaRegions {
  return {
    kept: delta.kept,
    index: delta.index,
    blocks: regions.input(delta.blocks),
    indexBytes: regions.input(delta.indexBytes),
    value: regions.input(delta.value),
  }
}

test.serial('counts, maxima and sums against plain loops', async (t) => {
  const random = seededRandom(801)
  const regions = regionMaker(t, random)
  for (const elements of [0, 1, 17, 1000, 65536, 65537, 200_000]) {
    const dtype = random.pick(FLOAT_DTYPES)
    const againstDtype = random.pick([dtype, random.pick(FLOAT_DTYPES)])
    const size = FLOAT_FIELDS[dtype].bytes
    const merged = randomFloats(random, dtype, elements, 'normal')
    const against = randomFloats(random, againstDtype, elements, 'normal')
    const original = convertFloats(againstDtype, dtype, against)
    const positions = Array.from({ length: elements }, (_, i) => i).filter(() => random.chance(0.2))
    const stored = original.slice()
    // One dishonest value.
    const lie = random.pick([...positions, -1])
    if (lie >= 0) stored[lie * size] = stored[lie * size]! ^ 1
    const index = random.pick(['u16', 'bitmap'] as const)
    const delta = encodeDelta(positions, stored, size, index)
    const restored = merged.slice()
    for (const at of positions) restored.set(stored.subarray(at * size, (at + 1) * size), at * size)

    const wrong = differingItems(restored, original, size)
    const [got, want, star] = [restored, original, merged].map((bytes) => decodeFloats(dtype, bytes))
    const expected: TensorDifference = {
      differing: wrong.length,
      firstDifferent: wrong[0] ?? -1,
      maxAbs: 0,
      errorSquared: 0,
      residualSquared: 0,
      originalSquared: 0,
      keptDiffering: lie >= 0 ? 1 : 0,
    }
    for (let i = 0; i < elements; i++) {
      const error = got![i]! - want![i]!
      expected.maxAbs = Math.max(expected.maxAbs, Math.abs(error))
      expected.errorSquared += error ** 2
      expected.residualSquared += (want![i]! - star![i]!) ** 2
      expected.originalSquared += want![i]! ** 2
    }
    await forEachSimdTarget(native, async (target) => {
      const [result] = await native.compareTensors(
        {
          tensors: [
            {
              name: 'w',
              elements,
              dtype,
              merged: regions.input(merged),
              delta: asDelta(regions, delta),
              against: { region: regions.input(against), dtype: againstDtype },
            },
          ],
        },
        { threads: random.pick([1, 2, 3]) },
      )
      const label = `${target}, ${elements} × ${dtype} against ${againstDtype}, ${index}, lie at ${lie}`
      t.is(result!.differing, expected.differing, label)
      t.is(result!.firstDifferent, expected.firstDifferent, label)
      t.is(result!.keptDiffering, expected.keptDiffering, label)
      t.is(result!.maxAbs, expected.maxAbs, label)
      for (const sum of ['errorSquared', 'residualSquared', 'originalSquared'] as const) {
        const tolerance = 1e-9 * Math.max(expected[sum], Number.MIN_VALUE)
        t.true(
          Math.abs(result![sum] - expected[sum]) <= tolerance,
          `${label}: ${sum} ${result![sum]}, ${expected[sum]}`,
        )
      }
      regions.clear()
    })
  }
})

test.serial('sums are the same for any thread count', async (t) => {
  const random = seededRandom(802)
  const elements = 500_000
  const merged = randomFloats(random, 'F32', elements, 'normal')
  const against = randomFloats(random, 'F32', elements, 'normal')
  const results = []
  for (const threads of [1, 2, 3, 7]) {
    const tensors = [
      {
        name: 'w',
        elements,
        dtype: 'F32' as const,
        merged,
        delta: null,
        against: { region: against, dtype: 'F32' as const },
      },
    ]
    results.push(await native.compareTensors({ tensors }, { threads }))
  }
  for (const result of results) t.deepEqual(result, results[0])
})
