import test from 'ava'
import type { EmitTensor, MergeTensor, NativeSpill, Threshold } from '../../lib/binding/binding-types.js'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { type Random, seededRandom } from '../helpers/random.js'
import { FLOAT_KINDS, randomFloats } from '../helpers/random-floats.js'
import { FLOAT_DTYPES } from '../reference/float-convert.js'
import { type NativeError, native } from './addon.js'
import { differ, type RegionMaker, regionMaker } from './regions.js'
import { type SelectionTensor, selectionTensor } from './run-selection.js'

const LAMBDA = Math.fround(0.4)
const PLENTY = 2 ** 32

function randomTensors(random: Random, sizes: readonly number[]): SelectionTensor[] {
  return sizes.map((elements, i) => {
    const dtype = random.pick(FLOAT_DTYPES)
    const kind = random.pick(FLOAT_KINDS)
    const one = () => ({ dtype, bytes: randomFloats(random, dtype, elements, kind) })
    return selectionTensor(`t${i}`, dtype, one(), [one(), one()], LAMBDA)
  })
}

interface Folded {
  spill: NativeSpill
  thresholds: Threshold[]
}

/** Samples, merges with a spill, and counts until the thresholds are exact. */
async function fold(
  regions: RegionMaker,
  tensors: SelectionTensor[],
  k: number,
  options: { limit?: number; sample?: boolean; threads?: number } = {},
): Promise<Folded> {
  const { limit = PLENTY, sample = true, threads = 2 } = options
  const elements = tensors.reduce((sum, tensor) => sum + tensor.elements, 0)
  const selection = new native.Selection([
    { k, elements },
    { k, elements },
  ])
  const spill = new native.CandidateSpill(regions.file().path, [{ bytes: limit }, { bytes: limit }])
  const merging: MergeTensor[] = tensors.map((x) => ({
    name: x.name,
    elements: x.elements,
    dtype: x.dtype,
    base: { region: regions.input(x.base.bytes), dtype: x.base.dtype },
    tasks: x.tasks.map((task) => ({ region: regions.input(task.bytes), dtype: task.dtype })),
    out: null,
  }))
  const job = { tensors: merging, lambda: LAMBDA, selection }
  if (sample) await native.sampleResiduals(job, {})
  await native.mergeTensors({ ...job, spill, nonFinite: 'keep' }, { threads })
  const counted = tensors.map((x, i) => ({ ...merging[i]!, merged: regions.input(x.merged) }))
  while (!selection.advance()) {
    await native.countResiduals({ tensors: counted, selection, nonFinite: 'keep' }, {})
  }
  return { spill, thresholds: selection.thresholds() }
}

/** Emits a task; `blank` hides its values, so that only a spill can know them. */
async function emit(
  regions: RegionMaker,
  tensors: SelectionTensor[],
  place: number,
  options: { threshold: Threshold; spill: NativeSpill | null; blank: boolean; threads?: number },
) {
  const { threshold, spill, blank, threads = 2 } = options
  const items: EmitTensor[] = tensors.map((x) => {
    const { dtype, bytes } = x.tasks[place]!
    const region = regions.input(blank ? new Uint8Array(bytes.length) : bytes)
    return {
      name: x.name,
      elements: x.elements,
      dtype: x.dtype,
      task: { region, dtype },
      merged: regions.input(x.merged),
    }
  })
  const out = regions.file()
  const job = {
    tensors: items,
    threshold,
    index: 'auto' as const,
    out: out.file,
    offset: 8,
    nonFinite: 'keep' as const,
  }
  const result = await native.emitDelta({ ...job, spill, place }, { threads })
  return { result, bytes: out.read().subarray(8) }
}

for (const seed of [1, 2, 3, 4]) {
  test(`deltas from a spill are those from the inputs, seed ${seed}, every SIMD target`, async (t) => {
    await forEachSimdTarget(native, async (target) => {
      const random = seededRandom(seed)
      const regions = regionMaker(t, random)
      const tensors = randomTensors(random, [70_001, 1, 131_072, 63, 200_000])
      const elements = tensors.reduce((sum, tensor) => sum + tensor.elements, 0)
      for (const density of [0.003, 0.05, 0.2]) {
        const k = Math.round(elements * density)
        const { spill, thresholds } = await fold(regions, tensors, k, { threads: random.pick([1, 2, 3]) })
        for (const [place, threshold] of thresholds.entries()) {
          const expected = await emit(regions, tensors, place, { threshold, spill: null, blank: false })
          // With key 0 there was no lower bound, and the inputs are read.
          const blank = threshold.key > 1 << 14
          for (const threads of [1, 2]) {
            const found = await emit(regions, tensors, place, { threshold, spill, blank, threads })
            t.deepEqual(found.result, expected.result, `${target} ${density}`)
            t.is(differ(found.bytes, expected.bytes), '', `${target} ${density}`)
          }
        }
        spill.close()
      }
    })
  })
}

test('what a spill lacks is read from the inputs', async (t) => {
  const random = seededRandom(5)
  const regions = regionMaker(t, random)
  const tensors = randomTensors(random, [70_001, 131_072])
  const k = 20_000
  const { thresholds } = await fold(regions, tensors, k)
  const expected = await emit(regions, tensors, 1, { threshold: thresholds[1]!, spill: null, blank: false })
  for (const options of [{ limit: 0 }, { limit: 60_000 }, { sample: false }]) {
    const folded = await fold(regions, tensors, k, options)
    t.deepEqual(folded.thresholds, thresholds)
    const found = await emit(regions, tensors, 1, {
      threshold: thresholds[1]!,
      spill: folded.spill,
      blank: false,
    })
    t.deepEqual(found.result, expected.result)
    t.is(differ(found.bytes, expected.bytes), '')
  }
})

test('a threshold outside of the window is not taken from the spill', async (t) => {
  const random = seededRandom(6)
  const regions = regionMaker(t, random)
  const tensors = randomTensors(random, [131_072])
  const { spill, thresholds } = await fold(regions, tensors, 10_000)
  for (const key of [1, thresholds[0]!.key >>> 1, 0x7f000000]) {
    const threshold = { key, ties: 3 }
    const expected = await emit(regions, tensors, 0, { threshold, spill: null, blank: false })
    const found = await emit(regions, tensors, 0, { threshold, spill, blank: false })
    t.deepEqual(found.result, expected.result)
    t.is(differ(found.bytes, expected.bytes), '')
  }
})

test('a closed spill and a foreign object are refused', async (t) => {
  const random = seededRandom(7)
  const regions = regionMaker(t, random)
  const tensors = randomTensors(random, [1000])
  const { spill, thresholds } = await fold(regions, tensors, 10)
  spill.close()
  spill.close()
  for (const wrong of [spill, {} as NativeSpill]) {
    const call = async () =>
      emit(regions, tensors, 0, { threshold: thresholds[0]!, spill: wrong, blank: false })
    const error = await t.throwsAsync<NativeError>(call, undefined)
    t.is(error?.code, 'INVALID_ARGUMENT')
  }
})
