import test from 'ava'
import type {
  DeltaRegions,
  EmittedTensor,
  FloatDtype,
  IndexCode,
  SparseCodec,
} from '../../lib/binding/binding-types.js'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { type Random, seededRandom } from '../helpers/random.js'
import { randomFloats } from '../helpers/random-floats.js'
import { encodeDelta } from '../reference/delta-encode.js'
import { decodeFloats, FLOAT_DTYPES, FLOAT_FIELDS } from '../reference/float-convert.js'
import { selectReference } from '../reference/magnitude-select.js'
import { addValues, byBlock, int4Values, signValues } from '../reference/value-codes.js'
import { type NativeError, native } from './addon.js'
import { differ, type RegionMaker, regionMaker } from './regions.js'

/** A tensor, what is kept of it, and what its task must become. */
interface Case {
  dtype: FloatDtype
  elements: number
  merged: Uint8Array
  task: Uint8Array
  positions: number[]
  threshold: { key: number; ties: number }
}

/** Finite residuals: codecs that add can't hold others. */
function finiteCase(random: Random, elements: number, k: number): Case {
  const dtype = random.pick(FLOAT_DTYPES)
  const kind = random.pick(['normal', 'few'] as const)
  const merged = randomFloats(random, dtype, elements, kind)
  const task = randomFloats(random, dtype, elements, kind)
  const [from, to] = [decodeFloats(dtype, merged), decodeFloats(dtype, task)]
  const keys = new Uint32Array(new Float32Array(to.map((x, i) => Math.abs(x - from[i]!))).buffer)
  const { threshold, positions } = selectReference([keys], k)
  return { dtype, elements, merged, task, positions: [...positions[0]!], threshold }
}

/** Value and scale arrays by the reference, and the task as it must be decoded. */
function expectedValues({ dtype, elements, merged, task, positions }: Case, codec: SparseCodec) {
  const [from, to] = [decodeFloats(dtype, merged), decodeFloats(dtype, task)]
  const u = Float32Array.from(positions, (at) => to[at]! - from[at]!)
  if (codec === 'sign') {
    const counts = byBlock(positions, elements).map((block) => block.length)
    const { scale, value, added } = signValues(u, counts)
    return { scale, value, scales: new Uint8Array(0), out: addValues(dtype, merged, positions, added) }
  }
  const { value, scales, added } = int4Values(u)
  return { scale: null, value, scales, out: addValues(dtype, merged, positions, added) }
}

async function emit(
  regions: RegionMaker,
  c: Case,
  codec: SparseCodec,
  index: IndexCode | 'auto',
  values: 'auto' | 'plain' | 'coded',
) {
  const out = regions.file()
  const { dtype, elements, threshold } = c
  const operands = {
    task: { region: regions.input(c.task), dtype },
    merged: regions.input(c.merged),
  }
  const job = {
    tensors: [{ name: 'w', elements, dtype, ...operands }],
    ...{ threshold, codec, index, values, out: out.file, offset: 8 },
  }
  const { tensors, offset } = await native.emitDelta(job, { threads: 3 })
  const bytes = out.read()
  return { stored: tensors[0]!, bytes, file: out.file, offset }
}

function regionsOf(
  stored: EmittedTensor,
  array: (range: { offset: number; length: number }) => DeltaRegions['value'],
): DeltaRegions {
  const { kept, index, values, scale } = stored
  const none = index === 'all'
  return {
    ...{ kept, index, values, scale, value: array(stored.value) },
    indexBytes: none ? null : array(stored.indexBytes),
    blocks: none ? null : array(stored.blocks),
    scales: values === 'int4' ? array(stored.scales) : null,
  }
}

const codes = [
  ['sign', 'auto', 'plain'],
  ['int4', 'auto', 'plain'],
  ['sign', 'u16', 'plain'],
  ['int4', 'rice', 'plain'],
  ['sign', 'rice', 'plain'],
  ['int4', 'bitmap', 'plain'],
  ['exact', 'rice', 'coded'],
  ['exact', 'u16', 'coded'],
  ['exact', 'bitmap', 'coded'],
  ['exact', 'rice', 'plain'],
  ['exact', 'auto', 'auto'],
] as const

for (const [seed, elements] of [
  [801, 1],
  [802, 63],
  [803, 5000],
  [804, 65536],
  [805, 150_001],
] as const) {
  test.serial(`codes of ${elements} elements: written and decoded as the reference says`, async (t) => {
    const random = seededRandom(seed)
    const regions = regionMaker(t, random)
    for (const k of new Set([1, Math.ceil(elements / 100), Math.ceil(elements / 3), elements])) {
      for (const [codec, index, values] of codes) {
        const c = finiteCase(random, elements, k)
        const label = `seed ${seed}, k ${k}, ${c.dtype}, ${codec}, ${index}, ${values}`
        const { stored, bytes, file, offset } = await emit(regions, c, codec, index, values)
        const size = FLOAT_FIELDS[c.dtype].bytes
        const exact = encodeDelta(c.positions, c.task, size, index, values)
        const part = ({ offset: at, length }: { offset: number; length: number }, used: number) => {
          t.is(length, Math.ceil(used / 8) * 8, label)
          return bytes.subarray(at, at + used)
        }
        t.is(stored.kept, k, label)
        t.is(stored.index, exact.index, label)
        t.is(differ(part(stored.indexBytes, exact.indexBytes.length), exact.indexBytes), '', label)
        t.is(differ(part(stored.blocks, exact.blocks.length), exact.blocks), '', label)
        let expected: Uint8Array = c.merged.slice()
        if (codec === 'exact') {
          t.is(stored.values, exact.values, label)
          t.is(differ(part(stored.value, exact.value.length), exact.value), '', label)
          for (const at of c.positions) expected.set(c.task.subarray(at * size, (at + 1) * size), at * size)
        } else {
          const own = expectedValues(c, codec)
          t.is(stored.values, codec, label)
          t.is(stored.scale, own.scale, label)
          t.is(differ(part(stored.value, own.value.length), own.value), '', label)
          t.is(differ(part(stored.scales, own.scales.length), own.scales), '', label)
          expected = own.out
        }
        t.is(bytes.length, offset, label)
        await forEachSimdTarget(native, async (target) => {
          const out = regions.output(c.merged.length)
          const delta = regionsOf(stored, (range) => ({ file, ...range }))
          const tensor = { name: 'w', elements, dtype: c.dtype, merged: regions.input(c.merged), delta }
          await native.scatterTensors(
            { tensors: [{ ...tensor, out: out.region }] },
            { threads: random.pick([1, 3]) },
          )
          t.is(differ(out.read(), expected), '', `${target}, ${label}`)
          // Decoded for the checks alone.
          await native.scatterTensors({ tensors: [{ ...tensor, out: null }] }, {})
        })
        regions.clear()
      }
    }
  })
}

test.serial('index all is refused where something is left out', async (t) => {
  const regions = regionMaker(t, seededRandom(806))
  const c = finiteCase(seededRandom(806), 100, 99)
  const error = await t.throwsAsync<NativeError>(emit(regions, c, 'exact', 'all', 'plain'))
  t.is(error.code, 'INVALID_ARGUMENT')
  t.is(error.tensor, 'w')
})

test.serial('a residual that is not finite is refused by codecs that add', async (t) => {
  const regions = regionMaker(t, seededRandom(807))
  for (const codec of ['sign', 'int4'] as const) {
    for (const value of [Number.POSITIVE_INFINITY, Number.NaN]) {
      const values = new Float32Array(70_000).fill(1)
      values[69_000] = value
      const region = new Uint8Array(values.buffer)
      const job = {
        tensors: [
          {
            name: 'w',
            elements: 70_000,
            dtype: 'F32' as const,
            task: { region, dtype: 'F32' as const },
            merged: new Uint8Array(280_000),
          },
        ],
        threshold: { key: 1, ties: 0 },
        ...{ codec, index: 'auto' as const, out: regions.file().file, offset: 0, nonFinite: 'keep' as const },
      }
      const error = await t.throwsAsync<NativeError>(native.emitDelta(job, {}))
      t.is(error.code, 'NON_FINITE')
      t.is(error.index, 69_000)
    }
  }
})

test.serial('damage to any array is PACK_INVALID or another tensor, never a write outside', async (t) => {
  const random = seededRandom(808)
  const regions = regionMaker(t, random)
  let refused = 0
  for (let round = 0; round < 200; round++) {
    const [codec, index, values] = random.pick(codes)
    const elements = random.pick([100, 70_000])
    const c = finiteCase(random, elements, 1 + random.below(elements / 4))
    const { stored, bytes } = await emit(regions, c, codec, index, values)
    const delta = regionsOf(stored, ({ offset, length }) => {
      const copy = bytes.slice(offset, offset + length)
      return random.chance(0.1) ? copy.slice(0, random.below(copy.length + 1)) : copy
    })
    const arrays = [delta.value, delta.indexBytes, delta.blocks, delta.scales].filter(
      (a) => a instanceof Uint8Array,
    )
    const part = random.pick(arrays)
    if (part.length > 0)
      for (let i = 0; i <= random.below(3); i++)
        part[random.below(Math.min(part.length, random.pick([16, 600, 1e6])))] = random.u32()
    if (random.chance(0.1)) delta.kept = random.below(elements + 2)
    if (random.chance(0.05)) delta.scale = random.pick([-1, Number.NaN, Number.POSITIVE_INFINITY])
    if (random.chance(0.05)) delta.values = random.pick(['plain', 'coded', 'int4'] as const)
    if (random.chance(0.05)) delta.index = random.pick(['u16', 'bitmap', 'rice', 'all'] as const)
    delta.scales ??= new Uint8Array(random.below(100))
    delta.blocks ??= new Uint8Array(8)
    delta.indexBytes ??= new Uint8Array(8)
    const out = regions.output(c.merged.length, 'unaligned')
    const tensor = { name: 'w', elements, dtype: c.dtype, merged: c.merged, delta, out: out.region }
    try {
      await native.scatterTensors({ tensors: [tensor] }, { threads: random.pick([1, 3]) })
    } catch (error) {
      refused++
      t.is((error as NativeError).code, 'PACK_INVALID', `round ${round}: ${(error as Error).message}`)
      t.is((error as NativeError).tensor, 'w')
    }
    t.notThrows(() => out.read(), `round ${round}`)
    regions.clear()
  }
  t.true(refused > 50, `${refused} of 200 were refused`)
})
