/**
 * XXH3-128 with seed 0, after the algorithm's public description, on BigInt: slow, for comparing with the addon.
 */

const SECRET = Buffer.from(
  'b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f' +
    'cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c' +
    '3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8' +
    'a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364' +
    'eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e' +
    '2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e',
  'hex',
)
const P32 = [0x9e3779b1n, 0x85ebca77n, 0xc2b2ae3dn] as const
const P64 = [
  0x9e3779b185ebca87n,
  0xc2b2ae3d27d4eb4fn,
  0x165667b19e3779f9n,
  0x85ebca77c2b2ae63n,
  0x27d4eb2f165667c5n,
] as const

const low = (x: bigint) => BigInt.asUintN(64, x)
const word = (bytes: Buffer, at: number) => bytes.readBigUInt64LE(at)
const half = (bytes: Buffer, at: number) => BigInt(bytes.readUInt32LE(at))
const secret = (at: number) => word(SECRET, at)
const shifted = (x: bigint, by: bigint) => x ^ (x >> by)

function avalanche3(x: bigint): bigint {
  return shifted(low(shifted(x, 37n) * 0x165667919e3779f9n), 32n)
}

function avalanche64(x: bigint): bigint {
  return shifted(low(shifted(low(shifted(x, 33n) * P64[1]), 29n) * P64[2]), 32n)
}

function fold(a: bigint, b: bigint): bigint {
  const product = a * b
  return low(product) ^ (product >> 64n)
}

function swapped(x: bigint, bytes: number): bigint {
  return BigInt(
    `0x${x
      .toString(16)
      .padStart(bytes * 2, '0')
      .match(/../g)!
      .reverse()
      .join('')}`,
  )
}

type Pair = { lo: bigint; hi: bigint }

function upTo3(input: Buffer): Pair {
  const n = input.length
  const packed = (input[0]! << 16) | (input[n >> 1]! << 24) | input[n - 1]! | (n << 8)
  const lo = BigInt(packed >>> 0)
  const turned = swapped(lo, 4)
  const hi = BigInt.asUintN(32, (turned << 13n) | (turned >> 19n))
  return {
    lo: avalanche64(lo ^ half(SECRET, 0) ^ half(SECRET, 4)),
    hi: avalanche64(hi ^ half(SECRET, 8) ^ half(SECRET, 12)),
  }
}

function upTo8(input: Buffer): Pair {
  const both = half(input, 0) + (half(input, input.length - 4) << 32n)
  const product = (both ^ secret(16) ^ secret(24)) * (P64[0] + BigInt(input.length * 4))
  let lo = low(product)
  const hi = low((product >> 64n) + (lo << 1n))
  lo = shifted(lo ^ (hi >> 3n), 35n)
  return { lo: shifted(low(lo * 0x9fb21c651e98df25n), 28n), hi: avalanche3(hi) }
}

function upTo16(input: Buffer): Pair {
  const first = word(input, 0)
  const last = word(input, input.length - 8)
  const product = (first ^ last ^ secret(32) ^ secret(40)) * P64[0]
  const keyed = last ^ secret(48) ^ secret(56)
  const hi = low((product >> 64n) + keyed + (keyed & 0xffffffffn) * (P32[1] - 1n))
  const lo = low(product + (BigInt(input.length - 1) << 54n)) ^ swapped(hi, 8)
  const second = lo * P64[1]
  return { lo: avalanche3(low(second)), hi: avalanche3(low((second >> 64n) + hi * P64[1])) }
}

function mix16(input: Buffer, at: number, key: number): bigint {
  return fold(word(input, at) ^ secret(key), word(input, at + 8) ^ secret(key + 8))
}

function mix32(acc: Pair, input: Buffer, a: number, b: number, key: number): void {
  acc.lo = low(acc.lo + mix16(input, a, key)) ^ low(word(input, b) + word(input, b + 8))
  acc.hi = low(acc.hi + mix16(input, b, key + 16)) ^ low(word(input, a) + word(input, a + 8))
}

function upTo240(input: Buffer): Pair {
  const n = input.length
  const acc: Pair = { lo: low(BigInt(n) * P64[0]), hi: 0n }
  if (n <= 128) {
    for (let i = Math.ceil(n / 32) - 1; i >= 0; i--) mix32(acc, input, 16 * i, n - 16 * (i + 1), 32 * i)
  } else {
    for (let i = 0; i < 4; i++) mix32(acc, input, 32 * i, 32 * i + 16, 32 * i)
    acc.lo = avalanche3(acc.lo)
    acc.hi = avalanche3(acc.hi)
    for (let i = 4; i < Math.floor(n / 32); i++) mix32(acc, input, 32 * i, 32 * i + 16, 3 + 32 * (i - 4))
    mix32(acc, input, n - 16, n - 32, 103)
  }
  const hi = low(acc.lo * P64[0] + acc.hi * P64[3] + BigInt(n) * P64[1])
  return { lo: avalanche3(low(acc.lo + acc.hi)), hi: low(-avalanche3(hi)) }
}

function stripe(acc: bigint[], input: Buffer, at: number, key: number): void {
  for (let i = 0; i < 8; i++) {
    const value = word(input, at + 8 * i)
    const keyed = value ^ secret(key + 8 * i)
    acc[i ^ 1] = low(acc[i ^ 1]! + value)
    acc[i] = low(acc[i]! + (keyed & 0xffffffffn) * (keyed >> 32n))
  }
}

function long(input: Buffer): Pair {
  const n = input.length
  const acc: bigint[] = [P32[2], P64[0], P64[1], P64[2], P64[3], P32[1], P64[4], P32[0]]
  const stripes = Math.floor((n - 1) / 64)
  for (let s = 0; s < stripes; s++) {
    stripe(acc, input, 64 * s, 8 * (s % 16))
    const blockEnds = s % 16 === 15
    if (blockEnds)
      for (let i = 0; i < 8; i++) acc[i] = low((shifted(acc[i]!, 47n) ^ secret(128 + 8 * i)) * P32[0])
  }
  stripe(acc, input, n - 64, 121)
  const merged = (key: number, start: bigint) => {
    let sum = start
    for (let i = 0; i < 4; i++) {
      sum += fold(acc[2 * i]! ^ secret(key + 16 * i), acc[2 * i + 1]! ^ secret(key + 16 * i + 8))
    }
    return avalanche3(low(sum))
  }
  const size = BigInt(n)
  return { lo: merged(11, low(size * P64[0])), hi: merged(117, low(~(size * P64[1]))) }
}

/**
 * XXH3-128 in its canonical form: the high half first, big-endian.
 *
 * @param bytes - any length
 */
export function xxh3(bytes: Uint8Array): Buffer {
  const input = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const n = input.length
  let hash: Pair
  if (n === 0) hash = { lo: avalanche64(secret(64) ^ secret(72)), hi: avalanche64(secret(80) ^ secret(88)) }
  else if (n <= 3) hash = upTo3(input)
  else if (n <= 8) hash = upTo8(input)
  else if (n <= 16) hash = upTo16(input)
  else if (n <= 240) hash = upTo240(input)
  else hash = long(input)
  const out = Buffer.alloc(16)
  out.writeBigUInt64BE(hash.hi, 0)
  out.writeBigUInt64BE(hash.lo, 8)
  return out
}
