import test from 'ava'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { seededRandom } from '../helpers/random.js'
import { FLOAT_KINDS, randomFloats } from '../helpers/random-floats.js'
import { encodeFloats, FLOAT_DTYPES, FLOAT_FIELDS } from '../reference/float-convert.js'
import { residualKeys, selectReference } from '../reference/magnitude-select.js'
import { type NativeError, native } from './addon.js'
import { differ, regionMaker } from './regions.js'

const SIZES = [0, 1, 2, 16, 63, 64, 65, 1000, 65535, 65536, 65537, 131073]

for (const seed of [301, 302]) {
  test.serial(`positions, values and threshold against the reference, seed ${seed}`, async (t) => {
    const random = seededRandom(seed)
    const regions = regionMaker(t, random)
    for (const elements of SIZES) {
      const dtype = random.pick(FLOAT_DTYPES)
      const kind = random.pick(FLOAT_KINDS)
      const bytes = randomFloats(random, dtype, elements, kind)
      const merged = random.chance(0.5) ? randomFloats(random, dtype, elements, kind) : null
      const size = FLOAT_FIELDS[dtype].bytes
      for (const k of new Set([0, 1, Math.floor(elements / 10), Math.max(0, elements - 1), elements])) {
        if (k > elements) continue
        const keys = residualKeys(dtype, { dtype, bytes }, merged)
        const expected = selectReference([keys], k)
        const positions = expected.positions[0]!
        const values = Buffer.concat(positions.map((at) => bytes.subarray(at * size, (at + 1) * size)))
        await forEachSimdTarget(native, async (target) => {
          const got = await native.selectEntries(
            {
              elements,
              dtype,
              task: { region: regions.input(bytes), dtype },
              merged: merged && regions.input(merged),
              k,
            },
            { threads: random.pick([1, 2, 3, 7]) },
          )
          const label = `${target}, ${elements} × ${dtype} (${kind}), k ${k}, ${merged ? 'minus θ*' : 'alone'}`
          if (k < elements) t.deepEqual(got.threshold, expected.threshold, label)
          t.true(got.positions instanceof Uint32Array)
          t.is(
            differ(new Uint8Array(got.positions.buffer), new Uint8Array(Uint32Array.from(positions).buffer)),
            '',
            label,
          )
          t.is(differ(got.values, values), '', label)
          regions.clear()
        })
      }
    }
  })
}

test.serial('another dtype is converted first', async (t) => {
  const task = encodeFloats('F32', [1.001, -3, 0.5, 70000])
  const got = await native.selectEntries(
    { elements: 4, dtype: 'F16', task: { region: task, dtype: 'F32' }, merged: null, k: 2 },
    {},
  )
  t.deepEqual([...got.positions], [1, 3])
  t.deepEqual(new Uint8Array(got.values), encodeFloats('F16', [-3, 1 / 0]))
})

test.serial('k outside of 0…elements, NaN', async (t) => {
  const job = (k: number, values: number[] = [1, 2, 3]) => ({
    elements: values.length,
    dtype: 'F32' as const,
    task: { region: encodeFloats('F32', values), dtype: 'F32' as const },
    merged: null,
    k,
  })
  for (const k of [-1, 4, 1.5, Number.NaN, 2 ** 53, 1 / 0]) {
    await t.throwsAsync(async () => native.selectEntries(job(k), {}), undefined, `${k}`)
  }
  const nan = job(1, [1, 2, Number.NaN, 9])
  const error = await t.throwsAsync<NativeError>(native.selectEntries(nan, {}))
  t.is(error.code, 'NON_FINITE')
  t.is(error.index, 2)
  const kept = await native.selectEntries({ ...nan, nonFinite: 'keep' }, {})
  t.deepEqual([...kept.positions], [2])
})
