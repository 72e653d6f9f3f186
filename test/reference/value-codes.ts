import { convertFloats, decodeFloats, encodeFloats } from './float-convert.js'
import type { FloatDtype } from '../../lib/binding/binding-types.js'

const BLOCK = 65536
const TOTAL = 4096
const LOW = 65536

/** LEB128. */
function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))]
}

/** Offsets of the parts of a list, one more than parts, as U32. */
export function offsetBytes(parts: readonly Uint8Array[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * (parts.length + 1)))
  parts.reduce((at, part, i) => {
    view.setUint32(4 * (i + 1), at + part.length, true)
    return at + part.length
  }, 0)
  return new Uint8Array(view.buffer)
}

/** Cuts ascending flat positions into blocks; inside each they count from its start. */
export function byBlock(positions: readonly number[], elements: number): number[][] {
  const blocks: number[][] = Array.from({ length: Math.ceil(elements / BLOCK) }, () => [])
  for (const at of positions) blocks[Math.floor(at / BLOCK)]!.push(at % BLOCK)
  return blocks
}

function concat(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}

/** Bits, first one lowest, as bytes. */
function packBits(bits: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(bits.length / 8))
  bits.forEach((bit, i) => {
    bytes[i >> 3]! |= bit << (i & 7)
  })
  return bytes
}

/** One block's gaps with one parameter, as docs/FORMAT.md writes them. */
function riceStream(positions: readonly number[], r: number): Uint8Array {
  const bits: number[] = []
  positions.forEach((at, i) => {
    const gap = at - (positions[i - 1] ?? -1) - 1
    for (let ones = gap >> r; ones > 0; ones--) bits.push(1)
    bits.push(0)
    for (let bit = 0; bit < r; bit++) bits.push((gap >> bit) & 1)
  })
  return concat([r], packBits(bits))
}

/** Bits of the same, counted without writing them. */
function riceBits(positions: readonly number[], r: number): number {
  return positions.reduce((sum, at, i) => sum + ((at - (positions[i - 1] ?? -1) - 1) >> r) + 1 + r, 0)
}

/** The array `.index` of code rice: every parameter is tried, the fewest bits win, of equals the lowest. */
export function riceIndex(positions: readonly number[], elements: number): Uint8Array {
  const streams = byBlock(positions, elements).map((block) => {
    if (block.length === 0) return new Uint8Array(0)
    const bits = Array.from({ length: 16 }, (_, r) => riceBits(block, r))
    return riceStream(block, bits.indexOf(Math.min(...bits)))
  })
  return concat(offsetBytes(streams), ...streams)
}

/** Positions of an array `.index` of code rice, bit by bit. */
export function readRiceIndex(bytes: Uint8Array, starts: readonly number[]): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const front = 4 * starts.length
  const positions: number[] = []
  for (let block = 0; block + 1 < starts.length; block++) {
    const stream = bytes.subarray(front + view.getUint32(4 * block, true))
    let bit = 8
    const next = () => (stream[bit >> 3]! >> (bit++ & 7)) & 1
    let at = -1
    for (let i = starts[block]!; i < starts[block + 1]!; i++) {
      let ones = 0
      while (next() === 1) ones++
      let gap = ones << stream[0]!
      for (let j = 0; j < stream[0]!; j++) gap |= next() << j
      at += gap + 1
      positions.push(block * BLOCK + at)
    }
  }
  return positions
}

/** Frequencies that sum to 4096: the share rounded down, then slot by slot where it changes the cost most. */
function fitFrequencies(counts: readonly number[]): number[] {
  const total = counts.reduce((a, b) => a + b, 0)
  const size = counts.findLastIndex((count) => count > 0) + 1
  const f = counts
    .slice(0, size)
    .map((count) => (count === 0 ? 0 : Math.max(1, Math.floor((count / total) * TOTAL))))
  for (;;) {
    const left = TOTAL - f.reduce((a, b) => a + b, 0)
    if (left === 0) return f
    const gains = f.map((x, s) => {
      if (x === 0 || (left < 0 && x === 1)) return Number.NEGATIVE_INFINITY
      return counts[s]! * Math.log2((left > 0 ? x + 1 : x - 1) / x)
    })
    f[gains.indexOf(Math.max(...gains))]! += Math.sign(left)
  }
}

/** Two states that take turns, last symbol first. */
function ransStream(symbols: readonly number[], f: readonly number[]): Uint8Array {
  const states = [LOW, LOW]
  const words: number[] = []
  for (let i = symbols.length - 1; i >= 0; i--) {
    const frequency = f[symbols[i]!]!
    const start = f.slice(0, symbols[i]!).reduce((a, b) => a + b, 0)
    let x = states[i & 1]!
    if (x >= frequency * 2 ** 20) {
      words.unshift(x % LOW)
      x = Math.floor(x / LOW)
    }
    states[i & 1] = Math.floor(x / frequency) * TOTAL + (x % frequency) + start
  }
  const view = new DataView(new ArrayBuffer(8 + 2 * words.length))
  for (const [s, x] of states.entries()) view.setUint32(4 * s, x, true)
  for (const [i, word] of words.entries()) view.setUint16(8 + 2 * i, word, true)
  return new Uint8Array(view.buffer)
}

/** Item i with its sign moved to the lowest bit: low bytes, then the byte that is a symbol. */
function rotated(items: Uint8Array, size: number, i: number): number[] {
  let x = 0n
  for (let byte = size - 1; byte >= 0; byte--) x = x * 256n + BigInt(items[i * size + byte]!)
  const bits = BigInt(8 * size)
  const turned = ((x << 1n) | (x >> (bits - 1n))) & ((1n << bits) - 1n)
  return Array.from({ length: size }, (_, byte) => Number((turned >> BigInt(8 * byte)) & 255n))
}

/**
 * The array `.value` of values coded.
 *
 * @param counts - entries of each block
 */
export function codedValues(items: Uint8Array, size: number, counts: readonly number[]): Uint8Array {
  const all = Array.from({ length: items.length / size }, (_, i) => rotated(items, size, i))
  const histogram = new Array<number>(256).fill(0)
  for (const bytes of all) histogram[bytes.at(-1)!]!++
  const f = fitFrequencies(histogram)
  let at = 0
  const streams = counts.map((count) => {
    const own = all.slice(at, at + count)
    at += count
    if (count === 0) return new Uint8Array(0)
    const raw = own.flatMap((bytes) => bytes.slice(0, -1))
    return concat(
      raw,
      ransStream(
        own.map((bytes) => bytes.at(-1)!),
        f,
      ),
    )
  })
  const table = [...varint(f.length), ...f.flatMap(varint)]
  return concat(offsetBytes(streams), table, ...streams)
}

/** Residuals of codec sign: the mean magnitude, and one bit each. */
export function signValues(
  u: Float32Array,
  counts: readonly number[],
): { scale: number; value: Uint8Array; added: Float32Array } {
  let at = 0
  let sum = 0
  for (const count of counts) {
    let part = 0
    for (const end = at + count; at < end; at++) part += Math.abs(u[at]!)
    sum += part
  }
  const scale = Math.fround(sum / u.length)
  const value = packBits(Array.from(u, (x) => (x < 0 ? 1 : 0)))
  return { scale, value, added: u.map((x) => (x < 0 ? -scale : scale)) }
}

/** The even one of two neighbours that are equally near. */
function roundEven(x: number): number {
  const down = Math.floor(x)
  const rest = x - down
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1
  return down % 2 === 0 ? down : down + 1
}

/** Residuals of codec int4: groups of 64, the scale with the least squared error of eight. */
export function int4Values(u: Float32Array): { value: Uint8Array; scales: Uint8Array; added: Float32Array } {
  const codes: number[] = []
  const added: number[] = []
  const scales: number[] = []
  for (let first = 0; first < u.length; first += 64) {
    const group = [...u.subarray(first, first + 64)]
    const largest = Math.max(...group.map(Math.abs))
    const tried = [7, 7.5, 6.5, 8, 8.5, 9, 10, 12].map((divisor) => {
      const wide = Math.min(Math.fround(largest / divisor), 65504)
      const scale = decodeFloats('F16', encodeFloats('F16', Float32Array.of(wide)))[0]!
      const own = group.map((x) =>
        scale === 0 ? 0 : Math.max(-7, Math.min(7, roundEven(Math.fround(x / scale)))),
      )
      const error = group.reduce((sum, x, i) => sum + (x - Math.fround(own[i]! * scale)) ** 2, 0)
      return { scale, own, error }
    })
    const best = tried.reduce((a, b) => (b.error < a.error ? b : a))
    scales.push(best.scale)
    codes.push(...best.own)
    added.push(...best.own.map((code) => Math.fround(code * best.scale)))
  }
  const value = new Uint8Array(Math.ceil(codes.length / 2))
  codes.forEach((code, i) => {
    value[i >> 1]! |= (code & 15) << (4 * (i & 1))
  })
  return { value, scales: encodeFloats('F16', Float32Array.from(scales)), added: Float32Array.from(added) }
}

/** round(θ* + û) at the positions; û = 0 leaves the item. */
export function addValues(
  dtype: FloatDtype,
  merged: Uint8Array,
  positions: readonly number[],
  added: Float32Array,
): Uint8Array {
  const out = Uint8Array.from(merged)
  const size = convertFloats('F32', dtype, new Uint8Array(4)).length
  const wide = decodeFloats(dtype, merged)
  positions.forEach((at, i) => {
    if (added[i] === 0) return
    out.set(encodeFloats(dtype, Float32Array.of(Math.fround(wide[at]! + added[i]!))), at * size)
  })
  return out
}
