import test from 'ava'
import type { DeltaRegions } from '../../lib/binding/binding-types.js'
import { type Random, seededRandom } from '../helpers/random.js'
import { randomFloats } from '../helpers/random-floats.js'
import { encodeDelta } from '../reference/delta-encode.js'
import { type NativeError, native } from './addon.js'
import { regionMaker } from './regions.js'

const ELEMENTS = 140_000

interface Arrays {
  kept: number
  index: 'u16' | 'bitmap'
  blocks: Uint8Array
  indexBytes: Uint8Array
  value: Uint8Array
}

function honest(random: Random, index: 'u16' | 'bitmap'): Arrays {
  const positions = Array.from({ length: ELEMENTS }, (_, i) => i).filter(() => random.chance(0.02))
  const { kept, blocks, indexBytes, value } = encodeDelta(positions, new Uint8Array(2 * ELEMENTS), 2, index)
  return { kept, index, blocks, indexBytes, value }
}

type Words = Uint16Array | Uint32Array

const starts = (a: Arrays) => new Uint32Array(a.blocks.buffer)
const places = (a: Arrays) => new Uint16Array(a.indexBytes.buffer)

function set(words: Words | Uint8Array, at: number, value: number): void {
  words[at] = value
}

function swap(words: Words, i: number): void {
  const first = words[i]!
  words[i] = words[i + 1]!
  words[i + 1] = first
}

function cut(a: Arrays, part: 'blocks' | 'indexBytes' | 'value', bytes: number): void {
  a[part] = a[part].slice(0, a[part].length - bytes)
}

function keep(a: Arrays, kept: number): void {
  a.kept = kept
}

/** One lie each about blocks, index or lengths. */
const LIES: [name: string, index: 'u16' | 'bitmap', tell: (a: Arrays) => void][] = [
  ['blocks fall', 'u16', (a) => swap(starts(a), 1)],
  ['the first block does not start at 0', 'u16', (a) => set(starts(a), 0, 1)],
  ['the last block does not end at kept', 'u16', (a) => set(starts(a), 3, a.kept - 1)],
  ['the last block ends behind kept', 'u16', (a) => set(starts(a), 3, a.kept + 1)],
  ['a huge block start', 'u16', (a) => set(starts(a), 1, 0xffffffff)],
  ['a position twice', 'u16', (a) => set(places(a), 1, places(a)[0]!)],
  ['positions fall', 'u16', (a) => swap(places(a), 7)],
  ['a position behind the last, short block', 'u16', (a) => set(places(a), a.kept - 1, 65535)],
  ['a position just behind the end', 'u16', (a) => set(places(a), a.kept - 1, ELEMENTS % 65536)],
  ['more kept than entries', 'u16', (a) => keep(a, a.kept + 1)],
  ['less kept than entries', 'u16', (a) => keep(a, a.kept - 1)],
  ['kept above elements', 'u16', (a) => keep(a, ELEMENTS + 1)],
  ['values one too short', 'u16', (a) => cut(a, 'value', 2)],
  ['values end inside an item', 'u16', (a) => cut(a, 'value', 1)],
  ['index too short', 'u16', (a) => cut(a, 'indexBytes', 2)],
  ['blocks too short', 'u16', (a) => cut(a, 'blocks', 4)],
  ['no blocks', 'u16', (a) => cut(a, 'blocks', a.blocks.length)],
  ['a bit too many', 'bitmap', (a) => set(a.indexBytes, a.indexBytes.indexOf(0), 1)],
  [
    'bits missing',
    'bitmap',
    (a) =>
      set(
        a.indexBytes,
        a.indexBytes.findIndex((byte) => byte > 0),
        0,
      ),
  ],
  ['blocks disagree with the bits', 'bitmap', (a) => set(starts(a), 1, starts(a)[1]! + 1)],
  ['bitmap blocks fall', 'bitmap', (a) => set(starts(a), 2, 0)],
  ['bitmap too short', 'bitmap', (a) => cut(a, 'indexBytes', 1)],
  ['bitmap values too short', 'bitmap', (a) => cut(a, 'value', 2)],
  ['more kept than bits', 'bitmap', (a) => keep(a, a.kept + 1)],
]

for (const [name, index, tell] of LIES) {
  test.serial(`${index}: ${name} is PACK_INVALID`, async (t) => {
    const random = seededRandom(701)
    const regions = regionMaker(t, random)
    const lie = honest(random, index)
    tell(lie)
    const place = random.pick(['memory', 'file'] as const)
    const delta: DeltaRegions = {
      kept: lie.kept,
      index,
      blocks: regions.input(lie.blocks, place),
      indexBytes: regions.input(lie.indexBytes, place),
      value: regions.input(lie.value, place),
    }
    const merged = randomFloats(random, 'BF16', ELEMENTS, 'normal')
    const out = regions.output(merged.length, place)
    const tensors = [
      {
        name: 'good',
        elements: 0,
        dtype: 'BF16' as const,
        merged: new Uint8Array(0),
        delta: null,
        out: new Uint8Array(0),
      },
      { name: 'layer.7', elements: ELEMENTS, dtype: 'BF16' as const, merged, delta, out: out.region },
    ]
    const error = await t.throwsAsync<NativeError>(async () =>
      native.scatterTensors({ tensors }, { threads: 2 }),
    )
    t.is(error.code, 'PACK_INVALID', error.message)
    t.is(error.tensor, 'layer.7')
    t.notThrows(() => out.read(), 'nothing outside of the target is touched')
  })
}

test.serial('a bit behind the last element is PACK_INVALID', async (t) => {
  const out = new Uint8Array(2 * 13)
  const positions = [0, 12]
  const good = encodeDelta(positions, new Uint8Array(26), 2, 'bitmap')
  const indexBytes = good.indexBytes.slice()
  // Position 12 moves to 13, one behind the end: the count of bits stays right.
  indexBytes[1] = 1 << 5
  const tensors = [
    {
      name: 'tail',
      elements: 13,
      dtype: 'F16' as const,
      merged: new Uint8Array(26),
      delta: { kept: 2, index: 'bitmap' as const, blocks: good.blocks, indexBytes, value: good.value },
      out,
    },
  ]
  const error = await t.throwsAsync<NativeError>(async () => native.scatterTensors({ tensors }, {}))
  t.is(error.code, 'PACK_INVALID')
  t.is(error.tensor, 'tail')
})

test.serial('random damage never writes outside of the target', async (t) => {
  const random = seededRandom(702)
  const regions = regionMaker(t, random)
  const merged = randomFloats(random, 'BF16', ELEMENTS, 'normal')
  for (let i = 0; i < 150; i++) {
    const index = random.pick(['u16', 'bitmap'] as const)
    const a = honest(random, index)
    const part = random.pick([a.blocks, a.indexBytes])
    for (let j = 0; j <= random.below(4); j++) part[random.below(part.length)] = random.u32()
    const out = regions.output(merged.length, 'unaligned')
    try {
      await native.scatterTensors(
        { tensors: [{ name: 'n', elements: ELEMENTS, dtype: 'BF16', merged, delta: a, out: out.region }] },
        { threads: random.pick([1, 3]) },
      )
    } catch (error) {
      t.is((error as NativeError).code, 'PACK_INVALID', `round ${i}`)
    }
    t.notThrows(() => out.read(), `round ${i}`)
  }
})
