import test from 'ava'
import type { EmitTensor, IndexCode, Threshold } from '../../lib/binding/binding-types.js'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { type Random, seededRandom } from '../helpers/random.js'
import { FLOAT_KINDS, type FloatKind, randomFloats } from '../helpers/random-floats.js'
import { deltaBytes, encodeDelta, type ReferenceDelta } from '../reference/delta-encode.js'
import { convertFloats, encodeFloats, FLOAT_DTYPES, FLOAT_FIELDS } from '../reference/float-convert.js'
import { KEEP_NOTHING, residualKeys, selectReference } from '../reference/magnitude-select.js'
import { type NativeError, native } from './addon.js'
import { differ, type RegionMaker, regionMaker } from './regions.js'
import { type SelectionTensor, selectionTensor } from './run-selection.js'

function randomTensors(
  random: Random,
  sizes: readonly number[],
  kinds: readonly FloatKind[],
): SelectionTensor[] {
  return sizes.map((elements, i) => {
    const dtype = random.pick(FLOAT_DTYPES)
    const kind = random.pick(kinds)
    const own = random.chance(0.2) ? random.pick(FLOAT_DTYPES) : dtype
    const base = { dtype, bytes: randomFloats(random, dtype, elements, kind) }
    const task = { dtype: own, bytes: randomFloats(random, own, elements, kind) }
    return selectionTensor(`t${i}`, dtype, base, [task], Math.fround(0.4))
  })
}

function asEmit(regions: RegionMaker, tensors: SelectionTensor[]): EmitTensor[] {
  return tensors.map((x) => ({
    name: x.name,
    elements: x.elements,
    dtype: x.dtype,
    task: { region: regions.input(x.tasks[0]!.bytes), dtype: x.tasks[0]!.dtype },
    merged: regions.input(x.merged),
  }))
}

function expectedDeltas(
  tensors: SelectionTensor[],
  k: number,
  index: IndexCode | 'auto',
  values: 'auto' | 'plain' | 'coded' = 'plain',
) {
  const keys = tensors.map((x) => residualKeys(x.dtype, x.tasks[0]!, x.merged))
  const { threshold, positions } = selectReference(keys, k)
  const deltas = tensors.map((x, i) => {
    const own = convertFloats(x.tasks[0]!.dtype, x.dtype, x.tasks[0]!.bytes)
    return encodeDelta(positions[i]!, own, FLOAT_FIELDS[x.dtype].bytes, index, values)
  })
  return { threshold, deltas }
}

/** Emits in batches of tensors, handing offset and ties on. */
async function emit(
  regions: RegionMaker,
  tensors: SelectionTensor[],
  options: {
    threshold: Threshold
    index: IndexCode | 'auto'
    values?: 'auto' | 'plain' | 'coded'
    batch: number
    threads: number
    offset: number
  },
) {
  const out = regions.file()
  let { offset, threshold } = options
  const emitted = []
  for (let at = 0; at < Math.max(1, tensors.length); at += options.batch) {
    const part = asEmit(regions, tensors.slice(at, at + options.batch))
    const result = await native.emitDelta(
      {
        ...{ tensors: part, threshold, index: options.index, values: options.values },
        ...{ out: out.file, offset, nonFinite: 'keep' },
      },
      { threads: options.threads },
    )
    emitted.push(...result.tensors)
    offset = result.offset
    threshold = { key: threshold.key, ties: result.ties }
  }
  return { bytes: out.read().subarray(options.offset), emitted, offset, ties: threshold.ties }
}

function checkEmitted(
  deltas: ReferenceDelta[],
  emitted: Awaited<ReturnType<typeof emit>>['emitted'],
  start: number,
) {
  const problems: string[] = []
  let at = start
  const padded = (length: number) => Math.ceil(length / 8) * 8
  deltas.forEach((delta, i) => {
    const got = emitted[i]!
    if (got.kept !== delta.kept) problems.push(`tensor ${i} keeps ${got.kept}, not ${delta.kept}`)
    if (delta.kept === 0) return
    if (got.values !== delta.values)
      problems.push(`tensor ${i} has values ${got.values}, not ${delta.values}`)
    if (got.index !== delta.index) problems.push(`tensor ${i} is coded ${got.index}, not ${delta.index}`)
    if (got.blockCount !== delta.blockCount) problems.push(`tensor ${i} has ${got.blockCount} blocks`)
    for (const [part, bytes] of [
      [got.value, delta.value],
      [got.indexBytes, delta.indexBytes],
      [got.blocks, delta.blocks],
    ] as const) {
      if (bytes.length === 0 && part.length === 0) continue
      if (part.offset !== at) problems.push(`tensor ${i}: offset ${part.offset}, not ${at}`)
      if (part.length !== bytes.length && part.length !== padded(bytes.length)) {
        problems.push(`tensor ${i}: length ${part.length}, not ${bytes.length}`)
      }
      at += padded(bytes.length)
    }
  })
  return problems
}

for (const [seed, sizes] of [
  [501, [1, 0, 2, 17, 64, 63, 1000]],
  [502, [65535, 65536, 65537, 5]],
  [503, [131072, 40000, 131073]],
  [504, [300_000]],
] as const) {
  test.serial(`the file's bytes against the reference, sizes ${sizes}`, async (t) => {
    const random = seededRandom(seed)
    const regions = regionMaker(t, random)
    const tensors = randomTensors(random, sizes, seed === 504 ? ['few'] : FLOAT_KINDS)
    const n = sizes.reduce<number>((a, b) => a + b, 0)
    for (const k of [0, 1, Math.floor(n / 100), Math.floor(n / 16), Math.floor(n / 2), n - 1, n]) {
      for (const [index, values] of [
        ['auto', 'auto'],
        ['u16', 'plain'],
        ['bitmap', 'coded'],
        ['rice', 'coded'],
      ] as const) {
        const { threshold, deltas } = expectedDeltas(tensors, k, index, values)
        const expected = Buffer.concat(deltas.map(deltaBytes))
        const everyTarget = index === 'auto'
        const check = async (target: string) => {
          const offset = random.pick([0, 8, 1000])
          const batch = random.pick([1, 2, 100])
          const threads = random.pick([1, 2, 3, 7])
          const label = `${target}, seed ${seed}, k ${k}, ${index}, ${values}, offset ${offset}, batch ${batch}, ${threads} threads`
          const got = await emit(regions, tensors, { threshold, index, values, batch, threads, offset })
          t.is(differ(got.bytes, expected), '', label)
          t.deepEqual(checkEmitted(deltas, got.emitted, offset), [], label)
          t.is(got.offset, offset + expected.length, label)
          t.is(got.ties, 0, label)
          regions.clear()
        }
        if (everyTarget) await forEachSimdTarget(native, check)
        else await check('best')
      }
    }
  })
}

test.serial('auto takes u16 on a tie of the index sizes', async (t) => {
  const regions = regionMaker(t, seededRandom(505))
  // 16 elements: a bitmap of 2 bytes against one u16 entry.
  const zero = { dtype: 'F32' as const, bytes: new Uint8Array(64) }
  const values = new Float32Array(16)
  values[3] = 5
  const task = { dtype: 'F32' as const, bytes: encodeFloats('F32', values) }
  const tensors = [selectionTensor('w', 'F32', zero, [task], 0)]
  for (const [k, code] of [
    [1, 'u16'],
    [2, 'bitmap'],
  ] as const) {
    const { threshold } = expectedDeltas(tensors, k, 'auto')
    const got = await emit(regions, tensors, { threshold, index: 'auto', batch: 1, threads: 1, offset: 0 })
    t.is(got.emitted[0]!.index, code)
  }
})

test.serial('ties go to the lowest positions over tensors and jobs', async (t) => {
  const random = seededRandom(506)
  const regions = regionMaker(t, random)
  const tensors = [70_000, 10, 65_536, 3].map((n, i) => {
    const bytes = encodeFloats('F32', new Float32Array(n).fill(i === 1 ? 2 : 1))
    return selectionTensor(
      `t${i}`,
      'F32',
      { dtype: 'F32', bytes: new Uint8Array(4 * n) },
      [{ dtype: 'F32', bytes }],
      0,
    )
  })
  for (const k of [5, 10, 11, 65_546, 70_009, 70_010, 70_011, 135_546, 135_549]) {
    const { threshold, deltas } = expectedDeltas(tensors, k, 'u16')
    for (const batch of [1, 2, 4]) {
      const got = await emit(regions, tensors, { threshold, index: 'u16', batch, threads: 3, offset: 0 })
      t.is(differ(got.bytes, Buffer.concat(deltas.map(deltaBytes))), '', `k ${k}, batch ${batch}`)
    }
    regions.clear()
  }
})

test.serial('a threshold that keeps nothing writes nothing', async (t) => {
  const random = seededRandom(507)
  const regions = regionMaker(t, random)
  const tensors = randomTensors(random, [100, 70_000], ['normal'])
  const threshold = { key: KEEP_NOTHING, ties: 0 }
  const got = await emit(regions, tensors, { threshold, index: 'auto', batch: 2, threads: 2, offset: 0 })
  t.is(got.bytes.length, 0)
  t.deepEqual(
    got.emitted.map((x) => x.kept),
    [0, 0],
  )
})

test.serial('a threshold that is no key is refused or keeps nothing', async (t) => {
  const random = seededRandom(509)
  const regions = regionMaker(t, random)
  const tensors = randomTensors(random, [100], ['normal'])
  for (const key of [0x7fc00001, 0x7fffffff, 0x80000000, 0xfffffffe, 2 ** 32, -1, 0.5]) {
    const job = {
      tensors: asEmit(regions, tensors),
      index: 'u16' as const,
      out: regions.file().file,
      offset: 0,
    }
    const result = await Promise.resolve()
      .then(() => native.emitDelta({ ...job, threshold: { key, ties: 5 } }, {}))
      .catch((error: NativeError) => error)
    if (result instanceof Error) t.is(result.code, 'INVALID_ARGUMENT', `${key}`)
    else
      t.deepEqual(
        result.tensors.map((x) => x.kept),
        [0],
        `${key}`,
      )
  }
})

test.serial('a NaN residual is NON_FINITE with tensor and index, or kept first', async (t) => {
  const regions = regionMaker(t, seededRandom(508))
  const values = Float32Array.from({ length: 140_000 }, (_, i) => i % 7)
  values[139_999] = Number.NaN
  const task = { dtype: 'F32' as const, bytes: encodeFloats('F32', values) }
  const tensors = [selectionTensor('w', 'F32', { dtype: 'F32', bytes: new Uint8Array(560_000) }, [task], 0)]
  // θ* is NaN there too: NaN − 0 in the merge.
  const { threshold, deltas } = expectedDeltas(tensors, 1, 'u16')
  const got = await emit(regions, tensors, { threshold, index: 'u16', batch: 1, threads: 2, offset: 0 })
  t.is(differ(got.bytes, Buffer.concat(deltas.map(deltaBytes))), '')
  const job = {
    tensors: asEmit(regions, tensors),
    threshold,
    index: 'u16' as const,
    out: regions.file().file,
    offset: 0,
  }
  const error = await t.throwsAsync<NativeError>(native.emitDelta(job, {}))
  t.is(error.code, 'NON_FINITE')
  t.is(error.tensor, 'w')
  t.is(error.index, 139_999)
})
