import test from 'ava'
import type { FloatDtype, MergeTensor, NativeRegion } from '../../lib/binding/binding-types.js'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { type Random, seededRandom } from '../helpers/random.js'
import { FLOAT_KINDS, randomFloats } from '../helpers/random-floats.js'
import { fingerprintReference } from '../reference/fingerprint.js'
import { decodeFloats, encodeFloats, FLOAT_DTYPES, FLOAT_FIELDS } from '../reference/float-convert.js'
import { mergeReference, type ReferenceOperand } from '../reference/merge.js'
import { type NativeError, native } from './addon.js'
import { differ, type OutputRegion, type RegionMaker, regionMaker } from './regions.js'

const SIZES = [0, 1, 2, 15, 16, 17, 63, 64, 65, 127, 1000, 4095, 65535, 65536, 65537]
const LARGE = [131071, 131072, 131073, 262144, 262145]

interface Case {
  name: string
  dtype: FloatDtype
  base: ReferenceOperand
  tasks: ReferenceOperand[]
}

function randomCase(random: Random, elements: number, tasks: number, mixed: boolean): Case {
  const dtype = random.pick(FLOAT_DTYPES)
  const operand = () => {
    const own = mixed && random.chance(0.4) ? random.pick(FLOAT_DTYPES) : dtype
    return { dtype: own, bytes: randomFloats(random, own, elements, random.pick(FLOAT_KINDS)) }
  }
  return { name: `t${elements}`, dtype, base: operand(), tasks: Array.from({ length: tasks }, operand) }
}

function asTensor(regions: RegionMaker, c: Case, out: NativeRegion | null): MergeTensor {
  const operand = (o: ReferenceOperand) => ({ region: regions.input(o.bytes), dtype: o.dtype })
  const elements = c.base.bytes.length / FLOAT_FIELDS[c.base.dtype].bytes
  return { name: c.name, elements, dtype: c.dtype, base: operand(c.base), tasks: c.tasks.map(operand), out }
}

function outputs(regions: RegionMaker, cases: Case[]): OutputRegion[] {
  return cases.map((c) =>
    regions.output((c.base.bytes.length / FLOAT_FIELDS[c.base.dtype].bytes) * FLOAT_FIELDS[c.dtype].bytes),
  )
}

for (const [seed, sizes, mixed] of [
  [31, SIZES, false],
  [32, SIZES, true],
  [33, LARGE, true],
] as const) {
  test.serial(`random tensors against the reference, seed ${seed}, every SIMD target`, async (t) => {
    const random = seededRandom(seed)
    const regions = regionMaker(t, random)
    for (const tasks of sizes === LARGE ? [3] : mixed ? [1, 5, 12] : [1, 2, 3]) {
      const cases = sizes.map((n) => randomCase(random, n, tasks, mixed))
      const lambda = Math.fround(random.pick([0.3, 1, 0, -0.7, 1 / 3]))
      const expected = cases.map((c) => mergeReference(c.dtype, c.base, c.tasks, lambda))
      await forEachSimdTarget(native, async (target) => {
        const outs = outputs(regions, cases)
        const tensors = cases.map((c, i) => asTensor(regions, c, outs[i]!.region))
        const threads = random.pick([1, 2, 3, 7])
        const result = await native.mergeTensors({ tensors, lambda, nonFinite: 'keep' }, { threads })
        cases.forEach((c, i) => {
          const label = `${target}, seed ${seed}, ${sizes[i]} × ${c.dtype}, ${tasks} tasks, λ ${lambda}, ${threads} threads`
          t.is(differ(outs[i]!.read(), expected[i]!), '', label)
          t.is(result.merged[i], fingerprintReference(expected[i]!), label)
          t.is(result.base[i], fingerprintReference(c.base.bytes), label)
        })
        regions.clear()
      })
    }
  })
}

test.serial('out null stores nothing and gives the same fingerprints', async (t) => {
  const random = seededRandom(34)
  const regions = regionMaker(t, random)
  const cases = SIZES.map((n) => randomCase(random, n, 2, false))
  const outs = outputs(regions, cases)
  const lambda = Math.fround(0.3)
  const stored = await native.mergeTensors(
    { tensors: cases.map((c, i) => asTensor(regions, c, outs[i]!.region)), lambda, nonFinite: 'keep' },
    {},
  )
  const unstored = await native.mergeTensors(
    { tensors: cases.map((c) => asTensor(regions, c, null)), lambda, nonFinite: 'keep' },
    {},
  )
  t.deepEqual(unstored, stored)
})

test.serial('infinities, overflow and NaN with nonFinite keep', async (t) => {
  const regions = regionMaker(t, seededRandom(35))
  const special = [
    0,
    -0,
    1,
    -1,
    1 / 0,
    -1 / 0,
    Number.NaN,
    3e38,
    -3e38,
    1e-45,
    -1e-40,
    65504,
    448,
    57344,
    464,
  ]
  const pairs = special.flatMap((a) => special.map((b) => [a, b] as const))
  for (const dtype of FLOAT_DTYPES) {
    const base = {
      dtype,
      bytes: encodeFloats(
        dtype,
        pairs.map((p) => p[0]),
      ),
    }
    const task = {
      dtype,
      bytes: encodeFloats(
        dtype,
        pairs.map((p) => p[1]),
      ),
    }
    for (const lambda of [1, Math.fround(0.3), 2, 0]) {
      const expected = mergeReference(dtype, base, [task, task], lambda)
      await forEachSimdTarget(native, async (target) => {
        const c = { name: 'x', dtype, base, tasks: [task, task] }
        const [out] = outputs(regions, [c])
        await native.mergeTensors(
          { tensors: [asTensor(regions, c, out!.region)], lambda, nonFinite: 'keep' },
          {},
        )
        t.is(differ(out!.read(), expected), '', `${dtype}, λ ${lambda}, ${target}`)
      })
    }
  }
})

test.serial('the multiply-add rounds once: neither f32 nor f64 arithmetic in between would do', async (t) => {
  const step = 2 ** -23
  // 1 + 2^-23 + 2^-24 − 2^-70 is below a middle of two f32; rounded to f64 first it is that middle and goes up.
  const base = encodeFloats('F32', new Float32Array(1003).fill(1 + step))
  const task = encodeFloats('F32', new Float32Array(1003).fill(2 + 2 * step))
  const lambda = 2 ** -24 * (1 - step)
  await forEachSimdTarget(native, async (target) => {
    const out = new Uint8Array(base.length)
    const operands = {
      base: { region: base, dtype: 'F32' as const },
      tasks: [{ region: task, dtype: 'F32' as const }],
    }
    const tensors = [{ name: 'w', elements: 1003, dtype: 'F32' as const, ...operands, out }]
    await native.mergeTensors({ tensors, lambda }, {})
    t.is(differ(out, base), '', target)
  })
})

test.serial('a NaN is NON_FINITE with tensor and index, wherever it comes from', async (t) => {
  const regions = regionMaker(t, seededRandom(36))
  for (const [where, at] of [
    ['base', 5],
    ['task', 70000],
    ['both infinite', 131072],
  ] as const) {
    const base = new Float32Array(131073).fill(1)
    const task = base.slice()
    if (where === 'base') base[at] = Number.NaN
    if (where === 'task') task[at] = Number.NaN
    if (where === 'both infinite') base[at] = task[at] = 1 / 0
    const c: Case = {
      name: 'layer.weight',
      dtype: 'F32',
      base: { dtype: 'F32', bytes: encodeFloats('F32', base) },
      tasks: [{ dtype: 'F32', bytes: encodeFloats('F32', task) }],
    }
    for (const threads of [1, 3]) {
      const [out] = outputs(regions, [c])
      const job = { tensors: [asTensor(regions, c, out!.region)], lambda: 1 }
      const error = await t.throwsAsync<NativeError>(native.mergeTensors(job, { threads }), undefined, where)
      t.is(error.code, 'NON_FINITE', where)
      t.is(error.tensor, 'layer.weight', where)
      t.is(error.index, at, where)
    }
  }
})

test.serial('a NaN names the operand that holds it', async (t) => {
  const holders = ['base', '0', '1', '2']
  for (const [place, holder] of holders.entries()) {
    const [base, ...tasks] = holders.map((_, i) => {
      const values = new Float32Array(70_000).fill(i + 1)
      if (i === place) values[66_000] = Number.NaN
      return { region: encodeFloats('F32', values), dtype: 'F32' as const }
    })
    const tensors = [{ name: 'w', elements: 70_000, dtype: 'F32' as const, base: base!, tasks, out: null }]
    for (const selection of [null, new native.Selection(tasks.map(() => ({ k: 5, elements: 70_000 })))]) {
      const job = native.mergeTensors({ tensors, lambda: 0.5, selection }, {})
      const error = await t.throwsAsync<NativeError>(job, undefined, holder)
      t.is(error.code, 'NON_FINITE')
      t.is(error.index, 66_000)
      t.is(String(error.operand), holder, `${error.message}, ${selection ? 'with' : 'without'} a selection`)
    }
  }
})

test.serial('the lowest NaN is reported for any thread count', async (t) => {
  const values = new Float32Array(1 << 20)
  for (const at of [999999, 500000, 123456]) values[at] = Number.NaN
  const bytes = new Uint8Array(values.buffer)
  const tensors: MergeTensor[] = [
    {
      name: 'n',
      elements: values.length,
      dtype: 'F32',
      base: { region: new Uint8Array(bytes.length), dtype: 'F32' },
      tasks: [{ region: bytes, dtype: 'F32' }],
      out: null,
    },
  ]
  for (const threads of [1, 2, 7]) {
    const error = await t.throwsAsync<NativeError>(native.mergeTensors({ tensors, lambda: 1 }, { threads }))
    t.is(error.index, 123456, `${threads} threads`)
  }
})

test.serial('inputs are never changed', async (t) => {
  const random = seededRandom(37)
  const base = randomFloats(random, 'BF16', 70000, 'normal')
  const task = randomFloats(random, 'BF16', 70000, 'normal')
  const copies = [base.slice(), task.slice()]
  const out = new Uint8Array(base.length)
  await native.mergeTensors(
    {
      tensors: [
        {
          name: 'n',
          elements: 70000,
          dtype: 'BF16',
          base: { region: base, dtype: 'BF16' },
          tasks: [{ region: task, dtype: 'BF16' }],
          out,
        },
      ],
      lambda: 1,
    },
    {},
  )
  t.is(differ(base, copies[0]!), '')
  t.is(differ(task, copies[1]!), '')
  t.true(decodeFloats('BF16', out).some((x) => x !== 0))
})
