import test from 'ava'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { type Random, seededRandom } from '../helpers/random.js'
import { FLOAT_KINDS, randomFloats } from '../helpers/random-floats.js'
import { encodeFloats, FLOAT_DTYPES } from '../reference/float-convert.js'
import { native } from './addon.js'
import { regionMaker } from './regions.js'
import { expectedThresholds, runSelection, type SelectionTensor, selectionTensor } from './run-selection.js'

function randomTensors(
  random: Random,
  sizes: readonly number[],
  tasks: number,
  lambda: number,
): SelectionTensor[] {
  return sizes.map((elements, i) => {
    const dtype = random.pick(FLOAT_DTYPES)
    const kind = random.pick(FLOAT_KINDS)
    const operand = () => {
      const own = random.chance(0.15) ? random.pick(FLOAT_DTYPES) : dtype
      return { dtype: own, bytes: randomFloats(random, own, elements, kind) }
    }
    return selectionTensor(`t${i}`, dtype, operand(), Array.from({ length: tasks }, operand), lambda)
  })
}

const FAMILIES: [number, number[]][] = [
  [1, [1]],
  [2, [17, 0, 1, 64, 5]],
  [3, [1000, 63, 65, 4096]],
  [1, [65535, 65536, 65537]],
  [12, [300, 1, 70001]],
  [4, [131072, 3, 200000]],
]

FAMILIES.forEach(([tasks, sizes], f) => {
  test.serial(`thresholds of random families, ${tasks} tasks of sizes ${sizes}`, async (t) => {
    const random = seededRandom(100 + f)
    const lambda = Math.fround(0.3)
    const regions = regionMaker(t, random)
    const tensors = randomTensors(random, sizes, tasks, lambda)
    const expected = expectedThresholds(tensors)
    const n = sizes.reduce((a, b) => a + b, 0)
    const shares = [0, 1, n - 1, n, Math.floor(n / 10), Math.floor(n / 2), random.below(n + 1)]
    for (const first of shares) {
      const ks = Array.from({ length: tasks }, (_, i) => Math.max(0, i === 0 ? first : random.pick(shares)))
      const wanted = expected(ks)
      await forEachSimdTarget(native, async (target) => {
        const run = {
          lambda,
          batch: random.pick([1, 2, 100]),
          sample: random.chance(0.8),
          countOnly: random.chance(0.2),
          restore: random.chance(0.3),
          control: { threads: random.pick([1, 2, 3, 7]) },
        }
        const label = `${target}, k ${ks}, ${JSON.stringify(run)}`
        const { thresholds } = await runSelection(regions, tensors, ks, run)
        t.deepEqual(thresholds, wanted, label)
        regions.clear()
      })
    }
  })
})

/** Values that a sample of pages can't foresee: page by page another scale. */
function misleading(
  random: Random,
  elements: number,
  pageBytes: number,
  every: number,
  inside: number,
  outside: number,
) {
  const values = new Float32Array(elements)
  for (let i = 0; i < elements; i++) {
    const scale = (i * 4) % every < pageBytes ? inside : outside
    values[i] = random.normal() * scale
  }
  return encodeFloats('F32', values)
}

for (const [name, pageBytes, every, inside, outside] of [
  ['large values only outside of the first 4 KiB of every 64 KiB', 4096, 65536, 1e-6, 1],
  ['large values only inside of the first 4 KiB of every 64 KiB', 4096, 65536, 1, 1e-6],
  ['large values only outside of the first 4 KiB of every MiB', 4096, 1048576, 0, 1],
  ['large values only inside of the first 4 KiB of every MiB', 4096, 1048576, 1e30, 1e-30],
  ['large values only in the last 4 KiB of every MiB', 1048576 - 4096, 1048576, 1e-3, 1e3],
  ['zeros in all sampled pages of 256 KiB', 8192, 262144, 0, 1e-40],
] as const) {
  test.serial(`exact though the sample misleads: ${name}`, async (t) => {
    const random = seededRandom(200)
    const elements = 600_000
    const regions = regionMaker(t, random)
    const zero = { dtype: 'F32' as const, bytes: new Uint8Array(4 * elements) }
    const task = {
      dtype: 'F32' as const,
      bytes: misleading(random, elements, pageBytes, every, inside, outside),
    }
    // λ = 0: θ* = 0, so that u is the task itself.
    const tensors = [selectionTensor('w', 'F32', zero, [task], 0)]
    const expected = expectedThresholds(tensors)
    for (const k of [1, 1000, 60_000, 300_000, 590_000, elements]) {
      const { thresholds, passes } = await runSelection(regions, tensors, [k], { lambda: 0 })
      t.deepEqual(thresholds, expected([k]), `k ${k}`)
      t.true(passes <= 4, `${passes} passes for k ${k}`)
      regions.clear()
    }
  })
}

test.serial('an even sample needs one pass only', async (t) => {
  const random = seededRandom(201)
  const regions = regionMaker(t, random)
  const elements = 1_500_000
  const zero = { dtype: 'F32' as const, bytes: new Uint8Array(4 * elements) }
  const tasks = [0, 1].map(() => ({
    dtype: 'F32' as const,
    bytes: randomFloats(random, 'F32', elements, 'normal'),
  }))
  const tensors = [selectionTensor('w', 'F32', zero, tasks, 0)]
  const expected = expectedThresholds(tensors)
  const ks = [15_000, 150_000]
  const { thresholds, passes } = await runSelection(regions, tensors, ks, { lambda: 0 })
  t.deepEqual(thresholds, expected(ks))
  t.log(`${passes} passes`)
  t.true(passes <= 2)
})

for (const kind of ['same', 'few', 'tiny'] as const) {
  test.serial(`nothing but ties: ${kind}`, async (t) => {
    const random = seededRandom(202)
    const regions = regionMaker(t, random)
    const lambda = Math.fround(0.5)
    const sizes = [66000, 1, 131073]
    const tensors = sizes.map((n, i) => {
      const operand = () => ({ dtype: 'BF16' as const, bytes: randomFloats(random, 'BF16', n, kind) })
      return selectionTensor(`t${i}`, 'BF16', operand(), [operand(), operand()], lambda)
    })
    const expected = expectedThresholds(tensors)
    for (const k of [1, 65999, 66000, 66001, 100_000, 197_073]) {
      const { thresholds } = await runSelection(regions, tensors, [k, k], { lambda })
      t.deepEqual(thresholds, expected([k, k]), `k ${k}`)
      regions.clear()
    }
  })
}

test.serial('NaN and infinity rank highest with nonFinite keep', async (t) => {
  const random = seededRandom(203)
  const regions = regionMaker(t, random)
  for (const dtype of FLOAT_DTYPES) {
    const values = Float32Array.from({ length: 70_000 }, () => random.normal())
    for (const [at, x] of [
      [5, Number.NaN],
      [69_999, 1 / 0],
      [7, -1 / 0],
      [40_000, Number.NaN],
    ] as const)
      values[at] = x
    const base = { dtype, bytes: new Uint8Array(encodeFloats(dtype, values).length) }
    const tensors = [selectionTensor('w', dtype, base, [{ dtype, bytes: encodeFloats(dtype, values) }], 0)]
    const expected = expectedThresholds(tensors)
    for (const k of [1, 2, 3, 4, 5, 100]) {
      await forEachSimdTarget(native, async (target) => {
        const { thresholds } = await runSelection(regions, tensors, [k], { lambda: 0 })
        t.deepEqual(thresholds, expected([k]), `${dtype}, k ${k}, ${target}`)
        regions.clear()
      })
    }
  }
})

test.serial('no elements at all', async (t) => {
  const regions = regionMaker(t, seededRandom(204))
  const empty = { dtype: 'F16' as const, bytes: new Uint8Array(0) }
  const tensors = [selectionTensor('w', 'F16', empty, [empty, empty], 0)]
  const expected = expectedThresholds(tensors)
  const { thresholds } = await runSelection(regions, tensors, [0, 0], { lambda: 0 })
  t.deepEqual(thresholds, expected([0, 0]))
})

test.serial('misuse throws: impossible k, thresholds too early, foreign snapshots', async (t) => {
  for (const task of [
    { k: 5, elements: 4 },
    { k: -1, elements: 4 },
    { k: 1.5, elements: 4 },
    { k: Number.NaN, elements: 4 },
    { k: 0, elements: 2 ** 60 },
    { k: 0 },
    null,
    7,
  ]) {
    t.throws(() => new native.Selection([task as never]), undefined, JSON.stringify(task))
  }
  t.throws(() => new native.Selection(undefined as never))
  t.throws(() => new native.Selection(new Array(5000).fill({ k: 1, elements: 4 })), {
    code: 'INVALID_ARGUMENT',
  })
  const selection = new native.Selection([{ k: 1, elements: 4 }])
  t.throws(() => selection.thresholds())
  const good = await selection.snapshot()
  t.deepEqual(await (await native.Selection.restore(good)).snapshot(), good)
  for (let length = 0; length < good.length; length += Math.max(1, Math.floor(good.length / 50))) {
    await t.throwsAsync(native.Selection.restore(good.subarray(0, length)), undefined, `${length} bytes`)
  }
  await t.throwsAsync(native.Selection.restore(Buffer.concat([good, Buffer.alloc(1)])))
  t.throws(() => native.Selection.restore('text' as never))
  const random = seededRandom(205)
  // Damaged bytes either throw or give a selection that still answers; they never crash.
  for (let i = 0; i < 500; i++) {
    const bad = good.slice()
    for (let j = 0; j < 1 + random.below(8); j++) bad[random.below(Math.min(bad.length, 200))] = random.u32()
    try {
      await (await native.Selection.restore(bad)).snapshot()
    } catch (error) {
      t.true(error instanceof Error)
    }
  }
})
