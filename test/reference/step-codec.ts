import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { decodeFloat, decodeFloats, encodeFloat } from './float-convert.js'

/** The step codec of docs/FORMAT.md, written to be read: one entry at a time, plain numbers, nothing shared with native/. */

/** Frequencies of symbols 0, 1, … that sum to 4096. */
export type ReferenceTable = number[]

/** Tables of runs and of levels. */
export interface ReferencePair {
  run: ReferenceTable
  level: ReferenceTable
}

/** What a stream says: codes of each tensor, and the pair of each segment in the order of the directory (null without entries). */
export interface ReferenceStream {
  pairs: ReferencePair[]
  /** q of every element. */
  codes: Int32Array[]
  numbers: (number | null)[]
}

const LOW = 2 ** 16
const BLOCK = 65536

/** A segment: elements [first, first + length) of a tensor. */
interface Segment {
  tensor: number
  first: number
  length: number
}

/**
 * @param sizes - elements of the coded tensors, in order
 * @returns the segments of each block
 */
export function stepBlocks(sizes: readonly number[]): Segment[][] {
  const blocks: Segment[][] = []
  let room = 0 // what the last block still takes
  sizes.forEach((size, tensor) => {
    if (size >= 32768) {
      for (let first = 0; first < size; first += BLOCK) {
        blocks.push([{ tensor, first, length: Math.min(BLOCK, size - first) }])
      }
      room = 0
    } else if (size <= room) {
      blocks.at(-1)!.push({ tensor, first: 0, length: size })
      room -= size
    } else {
      blocks.push([{ tensor, first: 0, length: size }])
      room = BLOCK - size
    }
  })
  return blocks
}

/** Token, extra bits and how many, of a number below 2^16. */
function numberCode(v: number): [token: number, extra: number, bits: number] {
  if (v < 16) return [v, 0, 0]
  const bits = Math.floor(Math.log2(v)) - 2
  return [16 + 4 * (bits - 2) + (Math.floor(v / 2 ** bits) % 4), v % 2 ** bits, bits]
}

function tokenBits(token: number): number {
  return token < 16 ? 0 : Math.floor((token - 16) / 4) + 2
}

function tokenBase(token: number): number {
  return token < 16 ? token : (4 + (token % 4)) * 2 ** tokenBits(token)
}

/** Bytes read front to back; throws at the end. */
class Reader {
  at = 0
  constructor(readonly bytes: Uint8Array) {}
  byte(): number {
    if (this.at >= this.bytes.length) throw new Error('too short')
    return this.bytes[this.at++]!
  }
  word(): number {
    return this.byte() + 256 * this.byte()
  }
  varint(): number {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte()
      value += (byte % 128) * scale
      if (byte >= 128) continue
      if (byte === 0 && scale > 1) throw new Error('a number in a longer form')
      return value
    }
  }
  table(): ReferenceTable {
    const table = Array.from({ length: this.varint() }, () => this.varint())
    const sum = table.reduce((total, f) => total + f, 0)
    if (sum !== 4096 || table.length > 64 || table.at(-1) === 0) throw new Error('not a table')
    return table
  }
  /** The rest is padding. */
  end() {
    const rest = this.bytes.subarray(this.at)
    if (rest.length > 7 || rest.some((byte) => byte !== 0)) throw new Error('does not end here')
  }
}

/** Two states and their words, decoding. */
class Decoder {
  readonly states: [number, number]
  constructor(readonly words: Reader) {
    this.states = [words.word() + words.word() * LOW, words.word() + words.word() * LOW]
    if (Math.min(...this.states) < LOW) throw new Error('not a state')
  }
  #set(which: 0 | 1, x: number) {
    this.states[which] = x < LOW ? x * LOW + this.words.word() : x
  }
  symbol(which: 0 | 1, table: ReferenceTable): number {
    const x = this.states[which]
    const slot = x % 4096
    let symbol = 0
    let start = 0
    while (slot >= start + table[symbol]!) start += table[symbol++]!
    this.#set(which, table[symbol]! * Math.floor(x / 4096) + slot - start)
    return symbol
  }
  bits(which: 0 | 1, count: number): number {
    const x = this.states[which]
    this.#set(which, Math.floor(x / 2 ** count))
    return x % 2 ** count
  }
}

/**
 * Reads a whole stream.
 *
 * @param sizes - elements of the coded tensors, in order
 * @returns what it says; throws when it is damaged
 */
export function decodeStep(
  sizes: readonly number[],
  arrays: { tables: Uint8Array; directory: Uint8Array; codes: Uint8Array },
): ReferenceStream {
  const tables = new Reader(arrays.tables)
  const pairs = Array.from({ length: tables.varint() }, () => ({
    run: tables.table(),
    level: tables.table(),
  }))
  if (pairs.length > 256) throw new Error('too many pairs')
  tables.end()
  const codes = sizes.map((size) => new Int32Array(size))
  const numbers: (number | null)[] = []
  const directory = new Reader(arrays.directory)
  let offset = 0
  for (const segments of stepBlocks(sizes)) {
    const listed = segments.map((segment) => {
      const entries = directory.varint()
      const number = entries > 0 ? directory.varint() : null
      numbers.push(number)
      if (entries > segment.length || (number !== null && number >= pairs.length))
        throw new Error('directory')
      return { segment, entries, pair: pairs[number ?? 0]! }
    })
    if (listed.every(({ entries }) => entries === 0)) continue
    const length = 8 + 2 * directory.varint()
    if (offset + length > arrays.codes.length) throw new Error('codes too short')
    const decoder = new Decoder(new Reader(arrays.codes.subarray(offset, offset + length)))
    offset += length
    for (const { segment, entries, pair } of listed) {
      let at = -1
      for (let i = 0; i < entries; i++) {
        const run = decoder.symbol(0, pair.run)
        at += 1 + tokenBase(run) + decoder.bits(0, tokenBits(run))
        const level = decoder.symbol(1, pair.level)
        const raw = decoder.bits(1, tokenBits(level) + 1)
        const magnitude = tokenBase(level) + Math.floor(raw / 2) + 1
        if (at >= segment.length) throw new Error('position')
        codes[segment.tensor]![segment.first + at] = raw % 2 === 1 ? -magnitude : magnitude
      }
    }
    const done = decoder.words.at === decoder.words.bytes.length
    if (!done || decoder.states.some((x) => x !== LOW)) throw new Error('not finished')
  }
  directory.end()
  const rest = new Reader(arrays.codes)
  rest.at = offset
  rest.end()
  return { pairs, codes, numbers }
}

/** Two states, encoding: what is decoded last goes in first. */
class Encoder {
  states: [number, number] = [LOW, LOW]
  /** Last first. */
  words: number[] = []
  #spill(which: 0 | 1) {
    this.words.push(this.states[which] % LOW)
    this.states[which] = Math.floor(this.states[which] / LOW)
  }
  symbol(which: 0 | 1, table: ReferenceTable, symbol: number) {
    const frequency = table[symbol]!
    const start = table.slice(0, symbol).reduce((sum, f) => sum + f, 0)
    if (this.states[which] >= frequency * 2 ** 20) this.#spill(which)
    const x = this.states[which]
    this.states[which] = Math.floor(x / frequency) * 4096 + (x % frequency) + start
  }
  bits(which: 0 | 1, value: number, count: number) {
    if (this.states[which] * 2 ** count >= 2 ** 32) this.#spill(which)
    this.states[which] = this.states[which] * 2 ** count + value
  }
  bytes(): number[] {
    const words = this.states.flatMap((x) => [x % LOW, Math.floor(x / LOW)]).concat(this.words.reverse())
    return words.flatMap((word) => [word % 256, word >> 8])
  }
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))]
}

/**
 * Writes directory and codes with given tables.
 *
 * @param stream - what to write
 */
export function encodeStep(stream: ReferenceStream): { directory: Uint8Array; codes: Uint8Array } {
  const directory: number[] = []
  const codes: number[] = []
  let place = 0
  for (const segments of stepBlocks(stream.codes.map(({ length }) => length))) {
    const operations: ((encoder: Encoder) => void)[] = []
    for (const { tensor, first, length } of segments) {
      const number = stream.numbers[place++] ?? null
      let entries = 0
      let run = 0
      for (const q of stream.codes[tensor]!.subarray(first, first + length)) {
        if (q === 0) {
          run++
          continue
        }
        const pair = stream.pairs[number!]!
        const [runToken, runExtra, runBits] = numberCode(run)
        const [levelToken, levelExtra, levelBits] = numberCode(Math.abs(q) - 1)
        operations.push((e) => {
          e.bits(1, 2 * levelExtra + (q < 0 ? 1 : 0), levelBits + 1)
          e.symbol(1, pair.level, levelToken)
          e.bits(0, runExtra, runBits)
          e.symbol(0, pair.run, runToken)
        })
        entries++
        run = 0
      }
      directory.push(...varint(entries), ...(entries > 0 ? varint(number!) : []))
    }
    if (operations.length === 0) continue
    const encoder = new Encoder()
    for (const operation of operations.reverse()) operation(encoder)
    const bytes = encoder.bytes()
    directory.push(...varint((bytes.length - 8) / 2))
    for (const byte of bytes) codes.push(byte)
  }
  return { directory: Uint8Array.from(directory), codes: Uint8Array.from(codes) }
}

/** round(f32(θ*) + q·Δ), in the bits of the dtype. */
function decodedBits(dtype: FloatDtype, star: number, step: number, q: number): number {
  const size = Math.fround(Math.abs(q) * step)
  return encodeFloat(dtype, Math.fround(star + (q < 0 ? -size : size)))
}

/**
 * @param dtype - of θ*
 * @param merged - θ*
 * @param codes - q of every element
 * @returns the task's tensor
 */
export function applyStep(
  dtype: FloatDtype,
  merged: Uint8Array,
  step: number,
  codes: Int32Array,
): Uint8Array {
  const out = merged.slice()
  const size = out.length / codes.length
  const view = new DataView(out.buffer)
  const stars = decodeFloats(dtype, merged)
  codes.forEach((q, i) => {
    if (q === 0) return
    const bits = decodedBits(dtype, stars[i]!, step, q)
    if (size === 4) view.setUint32(4 * i, bits, true)
    else if (size === 2) view.setUint16(2 * i, bits, true)
    else view.setUint8(i, bits)
  })
  return out
}

/**
 * The writer's quantiser: q = sign(u)·⌊|u|·(1/Δ) + (1 − dead zone)⌋ in f32, nearer to 0 where the item would not be finite.
 *
 * @param dtype - of θ*
 * @returns q of every element
 */
export function quantizeStep(
  dtype: FloatDtype,
  task: Float32Array,
  merged: Float32Array,
  step: number,
  deadZone: number,
): Int32Array {
  const f = Math.fround
  return Int32Array.from(task, (value, i) => {
    const u = f(value - merged[i]!)
    const level = f(f(Math.abs(u) * f(1 / step)) + f(1 - f(deadZone)))
    let magnitude = Math.min(65536, Math.floor(level))
    const sign = u < 0 ? -1 : 1
    while (
      magnitude > 0 &&
      !Number.isFinite(decodeFloat(dtype, decodedBits(dtype, merged[i]!, step, sign * magnitude)))
    ) {
      magnitude--
    }
    return magnitude === 0 ? 0 : sign * magnitude
  })
}
