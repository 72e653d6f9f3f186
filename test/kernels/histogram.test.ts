import test from 'ava'
import type { NativeHistogram } from '../../lib/binding/binding-types.js'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { seededRandom } from '../helpers/random.js'
import { FLOAT_KINDS, randomFloats } from '../helpers/random-floats.js'
import { FLOAT_DTYPES } from '../reference/float-convert.js'
import { mergeReference, type ReferenceOperand } from '../reference/merge.js'
import { type ReferenceHistogram, residualHistogram } from '../reference/residual-histogram.js'
import { type NativeError, native } from './addon.js'
import { type RegionMaker, regionMaker } from './regions.js'

const GROUPS = 2
const LAMBDAS = [0, Math.fround(0.3), Math.fround(1 / 3)]

function near(actual: number, expected: number): boolean {
  return Math.abs(actual - expected) <= 1e-9 * Math.abs(expected)
}

/** Everything a histogram says, to compare two of them. */
function everything(histogram: NativeHistogram, lambdas: number, tasks: number) {
  const all = []
  for (let l = 0; l < lambdas; l++) {
    for (let t = 0; t < tasks; t++) {
      for (let g = 0; g < GROUPS; g++) all.push({ ...histogram.bins(l, t, g), ...histogram.sums(l, t, g) })
    }
  }
  return all
}

for (const [seed, sizes] of [
  [1, [0, 1, 7, 1000]],
  [2, [65535, 65536, 65537]],
  [3, [200_000, 3, 0, 70_000]],
] as const) {
  test.serial(`histograms of merges and of stored θ*, sizes ${sizes}`, async (t) => {
    const random = seededRandom(seed)
    const regions: RegionMaker = regionMaker(t, random)
    for (const kind of seed === 1 ? FLOAT_KINDS : (['normal', 'bits'] as const)) {
      const tasks = 1 + random.below(3)
      const tensors = sizes.map((elements, i) => {
        const dtype = random.pick(FLOAT_DTYPES)
        const operand = (): ReferenceOperand => ({
          dtype,
          bytes: randomFloats(random, dtype, elements, kind),
        })
        const base = operand()
        return { name: `w${i}`, dtype, elements, base, tasks: Array.from({ length: tasks }, operand) }
      })
      const group = (i: number) => (seed + i) % GROUPS
      const expected: ReferenceHistogram[][][] = LAMBDAS.map((lambda) =>
        tensors.map(({ dtype, base, tasks: list }) => {
          const merged = mergeReference(dtype, base, list, lambda)
          return list.map((task) => residualHistogram(dtype, task, merged))
        }),
      )
      let first: unknown
      await forEachSimdTarget(native, async (target) => {
        const region = (o: ReferenceOperand) => ({ region: regions.input(o.bytes), dtype: o.dtype })
        const shape = { tasks, groups: GROUPS }
        const merging = new native.Histogram({ ...shape, lambdas: LAMBDAS })
        const jobs = tensors.map((x, i) => ({
          ...x,
          base: region(x.base),
          tasks: x.tasks.map(region),
          merged: null,
          group: group(i),
        }))
        const threads = random.pick([1, 2, 5])
        for (let at = 0; at < jobs.length; ) {
          const count = 1 + random.below(3)
          await native.countHistogram(
            { tensors: jobs.slice(at, at + count), histogram: merging },
            { threads },
          )
          at += count
        }
        const stored = new native.Histogram({ ...shape, lambdas: [0] })
        const against = jobs.map((job, i) => ({
          ...job,
          base: null,
          merged: regions.input(
            mergeReference(tensors[i]!.dtype, tensors[i]!.base, tensors[i]!.tasks, LAMBDAS[1]!),
          ),
        }))
        await native.countHistogram({ tensors: against, histogram: stored }, { threads })
        const all = everything(merging, LAMBDAS.length, tasks)
        first ??= all
        t.deepEqual(all, first as typeof all, `${target}: same numbers for all targets, threads and batches`)
        t.deepEqual(
          everything(stored, 1, tasks),
          all.slice(tasks * GROUPS, 2 * tasks * GROUPS),
          `${target}: θ* as stored`,
        )
        regions.clear()
        if (target !== native.devices().cpu.simdAvailable[0]) return
        LAMBDAS.forEach((_, l) => {
          for (let task = 0; task < tasks; task++) {
            for (let g = 0; g < GROUPS; g++) {
              const parts = expected[l]!.filter((_, i) => group(i) === g).map((list) => list[task]!)
              const { first: start, counts } = merging.bins(l, task, g)
              const bins = new Map<number, number>()
              for (const part of parts) {
                for (const [bin, count] of part.counts) bins.set(bin, (bins.get(bin) ?? 0) + count)
              }
              const got = new Map(
                [...counts].flatMap((count, i) => (count > 0 ? [[start + i, count]] : [])) as [
                  number,
                  number,
                ][],
              )
              t.deepEqual(
                [...got],
                [...bins].sort(([a], [b]) => a - b),
                `${kind}, λ ${l}, task ${task}, group ${g}`,
              )
              const sums = merging.sums(l, task, g)
              for (const key of ['squared', 'absolute', 'original'] as const) {
                const sum = parts.reduce((total, part) => total + part[key], 0)
                t.true(near(sums[key], sum), `${kind}, ${key}: ${sums[key]}, expected ${sum}`)
              }
              const elements = sizes.reduce((sum: number, n, i) => sum + (group(i) === g ? n : 0), 0)
              t.is(sums.elements, elements)
            }
          }
        })
      })
    }
  })
}

test('what a histogram refuses', async (t) => {
  const f32 = (...x: number[]) => new Uint8Array(Float32Array.from(x).buffer)
  const operand = (...x: number[]) => ({ region: f32(...x), dtype: 'F32' as const })
  const tensor = {
    name: 'w',
    dtype: 'F32' as const,
    elements: 2,
    base: operand(0, 0),
    tasks: [operand(1, 2)],
    merged: null,
    group: 0,
  }
  for (const shape of [
    { lambdas: [], tasks: 1, groups: 1 },
    { lambdas: [0.1], tasks: 1, groups: 1 },
    { lambdas: [0], tasks: 0, groups: 1 },
    { lambdas: [0], tasks: 1, groups: 2 ** 40 },
    { lambdas: [Number.NaN], tasks: 1, groups: 1 },
  ]) {
    t.throws(() => new native.Histogram(shape), { code: 'INVALID_ARGUMENT' }, JSON.stringify(shape))
  }
  const make = (lambdas = [0]) => new native.Histogram({ lambdas, tasks: 1, groups: 1 })
  for (const wrong of [
    { base: null },
    { merged: f32(0, 0) },
    { group: 1 },
    { tasks: [] },
    { tasks: [operand(1)] },
    { base: operand(1) },
  ]) {
    const tensors = [{ ...tensor, ...wrong }]
    await t.throwsAsync(async () => native.countHistogram({ tensors, histogram: make() }, {}), {
      code: 'INVALID_ARGUMENT',
    })
  }
  const twice = make([0, 1])
  const stored = [{ ...tensor, base: null, merged: f32(0, 0) }]
  await t.throwsAsync(async () => native.countHistogram({ tensors: stored, histogram: twice }, {}), {
    code: 'INVALID_ARGUMENT',
  })
  const histogram = make()
  t.throws(() => histogram.bins(1, 0, 0), { code: 'INVALID_ARGUMENT' })
  const tensors = [{ ...tensor, tasks: [operand(1, Number.NaN)] }]
  const error = (await t.throwsAsync(async () =>
    native.countHistogram({ tensors, histogram }, {}),
  )) as NativeError
  t.is(error.code, 'NON_FINITE')
  t.is(error.index, 1)
  t.throws(() => histogram.sums(0, 0, 0), { code: 'INVALID_ARGUMENT', message: /failed/ })
})
