import test from 'ava'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { type Random, seededRandom } from '../helpers/random.js'
import { convertFloats, decodeFloats } from '../reference/float-convert.js'
import { applyStep, decodeStep, encodeStep, quantizeStep } from '../reference/step-codec.js'
import { native } from './addon.js'
import { differ, regionMaker } from './regions.js'
import { elementsOf, openStep, runStepEncoder, type StepTensor, scatterStep, stepTensor } from './step-run.js'

const f = Math.fround

/** The reference's q of every tensor. */
function referenceCodes(tensors: StepTensor[], step: number, deadZone: number): Int32Array[] {
  return tensors.map(({ shape: { dtype }, merged, task, taskDtype }) =>
    quantizeStep(
      dtype,
      decodeFloats(dtype, convertFloats(taskDtype, dtype, task)),
      decodeFloats(dtype, merged),
      step,
      deadZone,
    ),
  )
}

function squares(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, x, i) => sum + f(x - b[i]!) ** 2, 0)
}

const CASES: [name: string, seed: number, sizes: number[], spread: (random: Random) => number][] = [
  ['one element', 1, [1], () => 3],
  ['around 32 768', 2, [32767, 32768, 32769, 32767, 5], () => 0.6],
  ['around 65 536', 3, [65535, 65536, 65537], (random) => random.pick([0.3, 1, 8])],
  ['joint blocks that fill up exactly', 4, [30000, 30000, 5536, 1, 65535 - 32767, 32767, 2], () => 0.8],
  ['many small ones', 5, Array.from({ length: 300 }, (_, i) => 1 + ((i * 7919) % 900)), () => 1],
  ['small ones between large ones', 6, [10, 40000, 20, 30, 131073, 40], () => 0.5],
  ['zeros only', 7, [5, 40000, 7, 70000], () => 0],
  ['some without entries', 8, [100, 40000, 200, 300, 70000, 9], (random) => random.pick([0, 1])],
  ['far out of reach', 9, [500, 33000, 70], () => 200_000],
  ['dense', 10, [1000, 66000], () => 50],
]

for (const [name, seed, sizes, spread] of CASES) {
  test.serial(`step: ${name}`, async (t) => {
    const random = seededRandom(seed)
    const regions = regionMaker(t, random)
    for (const deadZone of [0.65, 0.5, 1]) {
      const step = f(random.pick([2 ** -9, 0.013, 0.2]))
      const tensors = sizes.map((size) => stepTensor(random, size, step, spread(random)))
      const expected = referenceCodes(tensors, step, deadZone)
      const first = await runStepEncoder(regions, tensors, { step, deadZone })
      const stream = decodeStep(sizes, first.arrays)
      stream.codes.forEach((codes, i) => {
        t.is(
          differ(new Uint8Array(codes.buffer), new Uint8Array(expected[i]!.buffer)),
          '',
          `q of tensor ${i}, ${tensors[i]!.shape.dtype}, dead zone ${deadZone}`,
        )
      })
      const again = encodeStep(stream)
      t.is(differ(again.directory, first.arrays.directory), '', 'directory')
      t.is(differ(again.codes, first.arrays.codes), '', 'codes')

      const wanted = tensors.map(({ shape, merged }, i) => applyStep(shape.dtype, merged, step, expected[i]!))
      const { result } = first
      const values = tensors.map(({ shape: { dtype }, task, taskDtype, merged }, i) => {
        const original = decodeFloats(dtype, convertFloats(taskDtype, dtype, task))
        return {
          error: squares(original, decodeFloats(dtype, wanted[i]!)),
          residual: squares(original, decodeFloats(dtype, merged)),
        }
      })
      const near = (actual: number, reference: number) => Math.abs(actual - reference) <= 1e-9 * reference
      t.true(
        near(
          result.errorSquared,
          values.reduce((sum, { error }) => sum + error, 0),
        ),
        'errorSquared',
      )
      t.true(
        near(
          result.residualSquared,
          values.reduce((sum, { residual }) => sum + residual, 0),
        ),
        'residualSquared',
      )
      const kept = expected.reduce((sum, codes) => sum + codes.filter((q) => q !== 0).length, 0)
      t.is(result.kept, kept)
      t.is(result.codesBytes, first.arrays.codes.length)

      await forEachSimdTarget(native, async (target) => {
        const threads = random.pick([1, 2, 5])
        const batch = () => 1 + random.below(random.pick([2, 5, 100]))
        const other = await runStepEncoder(regions, tensors, { step, deadZone, batch, control: { threads } })
        for (const array of ['tables', 'directory', 'codes'] as const)
          t.is(differ(other.arrays[array], first.arrays[array]), '', `${target}: ${array}`)
        t.deepEqual(
          { ...other.result, tables: null, directory: null },
          { ...result, tables: null, directory: null },
        )
        const padded = { ...first.arrays }
        if (random.chance(0.5)) {
          for (const array of ['tables', 'directory', 'codes'] as const) {
            const bytes = new Uint8Array(Math.ceil(padded[array].length / 8) * 8)
            bytes.set(padded[array])
            padded[array] = bytes
          }
        }
        const shapes = tensors.map(({ shape }) => shape)
        const coded = await openStep(regions, shapes, step, padded)
        const order = random.shuffled(tensors.map((_, i) => i))
        const outs = await scatterStep(regions, coded, tensors, order, { threads })
        outs.forEach((out, i) => {
          t.is(differ(out, wanted[i]!), '', `${target}: tensor ${i}, ${shapes[i]!.dtype}`)
        })
        coded.close()
        regions.clear()
      })
    }
  })
}

test.serial('step: tables of unlike tensors are kept apart, those of like ones shared', async (t) => {
  const random = seededRandom(20)
  const regions = regionMaker(t, random)
  const step = f(0.01)
  const widths = [0.3, 0.3, 4, 4, 40]
  const tensors = widths.map((width) => {
    const tensor = stepTensor(random, 66000, step, width)
    return { ...tensor, shape: { ...tensor.shape } }
  })
  const { arrays, result } = await runStepEncoder(regions, tensors, { step, deadZone: 0.65 })
  const { pairs } = decodeStep(tensors.map(elementsOf), arrays)
  t.true(pairs.length >= 2 && pairs.length <= 5, `${pairs.length} pairs`)
  const bytes = arrays.tables.length + arrays.directory.length + arrays.codes.length
  t.true(bytes * 8 < result.entropyBits * 1.03, `${bytes} bytes, entropy ${result.entropyBits / 8}`)
})

test.serial('step: codes that would decode to infinity are taken nearer to zero', async (t) => {
  const regions = regionMaker(t, seededRandom(21))
  const step = f(1000)
  const merged = new Uint8Array(Uint16Array.of(0x7bff, 0xfbff, 0x7bf0, 0).buffer)
  const task = new Uint8Array(Uint16Array.of(0x7bff, 0xfbff, 0x7bff, 0x7bff).buffer)
  const shape = { name: 'w', dtype: 'F16' as const, rows: 1, columns: 4 }
  const tensors = [{ shape, merged, task, taskDtype: 'F16' as const }]
  const { arrays } = await runStepEncoder(regions, tensors, { step, deadZone: 0.5 })
  const coded = await openStep(regions, [shape], step, arrays)
  const [out] = await scatterStep(regions, coded, tensors, [0], {})
  const values = decodeFloats('F16', out!)
  t.true(values.every(Number.isFinite), `${values}`)
  // 66 steps are one too many for the last; the others are nearest as they are.
  t.deepEqual([...values], [65504, -65504, 65024, 64992])
})
