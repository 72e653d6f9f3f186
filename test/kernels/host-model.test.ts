import { setTimeout } from 'node:timers/promises'
import test from 'ava'
import type { EntryArrays, ExchangeLayer, ExchangeTensor } from '../../lib/binding/binding-types.js'
import { type Random, seededRandom } from '../helpers/random.js'
import { randomFloats } from '../helpers/random-floats.js'
import { encodeDelta } from '../reference/delta-encode.js'
import { exchangeReference, type PlainLayer } from '../reference/exchange.js'
import { FLOAT_DTYPES, FLOAT_FIELDS } from '../reference/float-convert.js'
import { type NativeError, native } from './addon.js'
import { differ, regionMaker } from './regions.js'

const BLOCK = 65536
const SIZES = [0, 1, 63, 1000, 65535, 65536, 65537, 131073, 262145]

function randomPositions(random: Random, elements: number, share: number): number[] {
  return Array.from({ length: elements }, (_, i) => i).filter(() => random.chance(share))
}

function randomBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256))
}

/** Positions by blocks. */
function grouped(positions: readonly number[], elements: number): Pick<EntryArrays, 'starts' | 'positions'> {
  const starts = new BigUint64Array(Math.ceil(elements / BLOCK) + 1)
  for (let b = 1; b < starts.length; b++) starts[b] = BigInt(positions.filter((at) => at < b * BLOCK).length)
  const inside = Uint16Array.from(positions, (at) => at % BLOCK)
  return { starts: new Uint8Array(starts.buffer), positions: new Uint8Array(inside.buffer) }
}

function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}

test('entries of deltas: starts, positions and values', async (t) => {
  const random = seededRandom(3101)
  const regions = regionMaker(t, random)
  for (const share of [0, 0.001, 0.1, 1]) {
    for (const index of ['u16', 'bitmap'] as const) {
      const cases = SIZES.map((elements) => {
        const dtype = random.pick(FLOAT_DTYPES)
        const size = FLOAT_FIELDS[dtype].bytes
        const task = randomFloats(random, dtype, elements, 'bits')
        const positions = randomPositions(random, elements, share)
        const { kept, blocks, indexBytes, value } = encodeDelta(positions, task, size, index)
        const wanted = {
          ...grouped(positions, elements),
          values: Buffer.concat(positions.map((at) => task.subarray(at * size, (at + 1) * size))),
        }
        const delta = {
          ...{ kept, index },
          blocks: regions.input(blocks),
          indexBytes: regions.input(indexBytes),
          value: regions.input(value),
        }
        // θt's own bits: what θ* has does not matter.
        const merged = regions.input(randomFloats(random, dtype, elements, 'bits'))
        const starts = new Uint8Array(wanted.starts.length).fill(9)
        return { wanted, tensor: { name: 'n', elements, dtype, merged, delta, starts }, size }
      })
      const threads = random.pick([1, 2, 3, 7])
      const counted = cases.map(({ tensor }) => tensor)
      await native.countEntries({ tensors: counted }, { threads })
      const tensors = cases.map(({ tensor, wanted, size }) => {
        t.is(differ(tensor.starts, wanted.starts), '', 'starts')
        const kept = wanted.positions.length / 2
        return { ...tensor, positions: new Uint8Array(kept * 2), values: new Uint8Array(kept * size) }
      })
      await native.collectEntries({ tensors }, { threads })
      for (const [i, { wanted }] of cases.entries()) {
        t.is(differ(tensors[i]!.positions, wanted.positions), '', 'positions')
        t.is(differ(tensors[i]!.values, wanted.values), '', 'values')
      }
      regions.clear()
    }
  }
})

function randomLayer(random: Random, elements: number, item: number): [PlainLayer, ExchangeLayer] {
  const covered = random.chance(0.2) ? 0 : random.chance(0.5) ? elements : random.below(elements + 1)
  const positions = randomPositions(random, covered, random.pick([0, 0.01, 0.1, 1]))
  const values = randomBytes(random, positions.length * item)
  const at = covered * item
  const bytes = randomBytes(random, random.chance(0.5) ? 0 : random.below(elements * item - at + 1))
  const arrays = covered === 0 ? {} : { ...grouped(positions, covered), values: values.slice() }
  return [
    { positions, values, bytes, at },
    { elements: covered, ...arrays, bytes: bytes.length === 0 ? null : bytes.slice(), at },
  ]
}

test('exchanges as the reference does, and back', async (t) => {
  const random = seededRandom(3102)
  for (let round = 0; round < 6; round++) {
    const wanted: { target: Uint8Array; item: number; layers: PlainLayer[]; before: Uint8Array }[] = []
    const tensors = SIZES.map((elements): ExchangeTensor => {
      const item = random.pick([1, 2, 4, 8] as const)
      const target = randomBytes(random, elements * item)
      const layers = Array.from({ length: random.pick([0, 1, 2, 2]) }, () =>
        randomLayer(random, elements, item),
      )
      wanted.push({ target: target.slice(), item, layers: layers.map(([plain]) => plain), before: target })
      return {
        ...{ name: `n${elements}`, itemSize: item },
        target: random.chance(0.5) ? shared(target) : target.slice(),
        layers: layers.map(([, layer]) => layer),
      }
    })
    await native.exchangeEntries({ tensors }, { threads: random.pick([1, 2, 3, 7]) })
    for (const [i, { target, item, layers }] of wanted.entries()) {
      exchangeReference(target, item, layers)
      const { name, target: got, layers: gotLayers } = tensors[i]!
      t.is(differ(got, target), '', name)
      for (const [j, layer] of layers.entries()) {
        if (gotLayers[j]!.values !== undefined) t.is(differ(gotLayers[j]!.values, layer.values), '', name)
        if (layer.bytes.length > 0) t.is(differ(gotLayers[j]!.bytes!, layer.bytes), '', name)
      }
    }
    const back = tensors.map((tensor) => ({ ...tensor, layers: tensor.layers.toReversed() }))
    await native.exchangeEntries({ tensors: back }, {})
    for (const [i, { before }] of wanted.entries()) t.is(differ(tensors[i]!.target, before), '', 'back')
  }
})

test('arrays that do not fit are refused before anything changes', async (t) => {
  const entries = () => ({ ...grouped([1, 5], 10), values: new Uint8Array([1, 2, 3, 4]) })
  const base = () => ({ elements: 10, ...entries(), bytes: null, at: 0 })
  const unaligned = new Uint8Array(new ArrayBuffer(41), 1)
  const wrong: [Partial<ExchangeTensor>, Partial<ExchangeLayer>, RegExp][] = [
    [{}, { elements: 11 }, /more elements than the tensor has/],
    [{}, { starts: new Uint8Array(8) }, /starts has 8 bytes, not 16/],
    [{}, { starts: unaligned }, /starts is not aligned/],
    [{}, { positions: new Uint8Array(2) }, /positions has 2 bytes, not 4/],
    [{}, { values: new Uint8Array(3) }, /values has 3 bytes, not 4/],
    [{}, { starts: new Uint8Array(16).fill(255) }, /more entries than elements/],
    [{}, { bytes: new Uint8Array(21) }, /bytes outside/],
    [{}, { bytes: new Uint8Array(1), at: 20 }, /bytes outside/],
    [{}, { bytes: new Uint8Array(0), at: 2 ** 52 }, /bytes outside/],
    [{ itemSize: 3 as 4 }, {}, /1, 2, 4 or 8/],
    [{ target: unaligned.subarray(0, 20) }, {}, /target is not aligned/],
  ]
  for (const [tensor, layer, message] of wrong) {
    const target = new Uint8Array(20).fill(7)
    const job = {
      name: 'n',
      target,
      itemSize: 2 as const,
      ...tensor,
      layers: [base(), { ...base(), ...layer }],
    }
    const error = await t.throwsAsync<NativeError>(native.exchangeEntries({ tensors: [job] }, {}))
    t.is(error.code, 'INVALID_ARGUMENT', String(message))
    t.regex(error.message, message)
    t.deepEqual(target, new Uint8Array(20).fill(7))
  }
})

test('starts and positions that lie: an error, never a crash', async (t) => {
  const random = seededRandom(3103)
  for (const elements of [10, 65536, 70000]) {
    for (let round = 0; round < 40; round++) {
      const positions = randomPositions(random, elements, 0.1)
      const layer = { elements, ...grouped(positions, elements), bytes: null, at: 0 }
      const values = randomBytes(random, positions.length * 4)
      for (const array of [layer.starts.subarray(0, -8), layer.positions]) {
        for (let i = 0; i < 3 && array.length > 0; i++) array[random.below(array.length)] = random.below(256)
      }
      const target = new Uint8Array(elements * 4)
      const tensors = [{ name: 'n', target, itemSize: 4 as const, layers: [{ ...layer, values }] }]
      await native.exchangeEntries({ tensors }, {}).then(
        () => t.pass(),
        (error: NativeError) => t.is(error.code, 'INTERNAL'),
      )
    }
  }
  const lie = { elements: 10, ...grouped([9], 10), values: new Uint8Array(1), bytes: null, at: 0 }
  new Uint16Array(lie.positions.buffer)[0] = 10
  const tensors = [{ name: 'n', target: new Uint8Array(11), itemSize: 1 as const, layers: [lie] }]
  const error = await t.throwsAsync<NativeError>(native.exchangeEntries({ tensors }, {}))
  t.is(error.code, 'INTERNAL')
})

test('arrays that change while they are exchanged: any answer or an error, never a crash', async (t) => {
  const elements = 4 << 20
  const positions = new Uint16Array(elements / 2).map((_, i) => (i * 2) % BLOCK)
  const starts = new BigUint64Array(elements / BLOCK + 1).map((_, b) => BigInt((b * BLOCK) / 2))
  const layer = {
    ...{ elements, bytes: null, at: 0 },
    starts: new Uint8Array(starts.buffer),
    positions: new Uint8Array(positions.buffer),
    values: new Uint8Array(elements),
  }
  const tensors = [{ name: 'n', target: new Uint8Array(elements * 2), itemSize: 2 as const, layers: [layer] }]
  for (let round = 0; round < 5; round++) {
    starts[elements / BLOCK] = BigInt(elements / 2)
    let running = true
    const settled = native
      .exchangeEntries({ tensors }, { threads: 2 })
      .catch((error: NativeError) => error)
      .finally(() => {
        running = false
      })
    for (let i = 0; running; i++) {
      layer.starts.fill(i & 255)
      layer.positions.fill(i & 255)
      await setTimeout(0)
    }
    const error = await settled
    t.true(error === undefined || error.code === 'INTERNAL')
    for (let b = 0; b < starts.length; b++) starts[b] = BigInt((b * BLOCK) / 2)
  }
})

test('counting refuses what is no remainder, and collecting what was not counted', async (t) => {
  const merged = new Uint8Array(20)
  const tensor = { name: 'n', elements: 10, dtype: 'BF16' as const, merged }
  const starts = new Uint8Array(16)
  const none = await t.throwsAsync<NativeError>(
    native.countEntries({ tensors: [{ ...tensor, delta: null, starts }] }, {}),
  )
  t.is(none.code, 'INVALID_ARGUMENT')
  const { blocks, indexBytes, value } = encodeDelta([2, 3], new Uint8Array(20), 2, 'u16')
  const delta = { kept: 2, index: 'u16' as const, blocks, indexBytes, value }
  const short = { ...tensor, delta, starts: starts.subarray(0, 8) }
  t.is(
    (await t.throwsAsync<NativeError>(native.countEntries({ tensors: [short] }, {}))).code,
    'INVALID_ARGUMENT',
  )
  const other = grouped([2], 10)
  const wrong = {
    ...tensor,
    delta,
    starts: other.starts,
    positions: other.positions,
    values: new Uint8Array(2),
  }
  const error = await t.throwsAsync<NativeError>(native.collectEntries({ tensors: [wrong] }, {}))
  t.is(error.code, 'PACK_INVALID')
  t.regex(error.message, /other entries than when it was counted/)
})

test('an unshared buffer is the same memory, and keeps it', async (t) => {
  const bytes = new Uint8Array(new SharedArrayBuffer(16), 4, 8)
  const buffer = native.unsharedBuffer(bytes)
  t.true(buffer instanceof ArrayBuffer)
  t.is(buffer.byteLength, 8)
  bytes[7] = 5
  t.is(new Uint8Array(buffer)[7], 5)
  new Uint8Array(buffer)[0] = 6
  t.is(bytes[0], 6)
  t.is(native.unsharedBuffer(new Uint8Array(0)).byteLength, 0)
  t.throws(() => native.unsharedBuffer({} as Uint8Array))
  const kept = native.unsharedBuffer(new Uint8Array(new SharedArrayBuffer(1 << 20)).fill(3))
  for (let i = 0; i < 50; i++) new Uint8Array(new SharedArrayBuffer(1 << 20)).fill(4)
  await setTimeout(10)
  t.true(new Uint8Array(kept).every((byte) => byte === 3))
  native.adviseHugePages(new Uint8Array(0))
  native.adviseHugePages(new Uint8Array(5 << 20).subarray(3))
})
