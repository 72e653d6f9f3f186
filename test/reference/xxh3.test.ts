import test from 'ava'
import { xxh3 } from './xxh3.js'

// Made with the C library (xxhash.h 0.8.1) over the bytes of `pattern`; the first is in its documentation too.
const DIGESTS: [number, string][] = [
  [0, '99aa06d3014798d86001c324468d497f'],
  [1, 'e1325e21416bcdb2929e358d27ae3ee2'],
  [3, '6314f6269026169330069c90b99182f2'],
  [5, '32ca85f91b8e91ed3046250b8c68e7fe'],
  [8, 'f638c7d0289261a59dab33761e888bdc'],
  [9, 'be5e2367d8076a4e80315196bcceb453'],
  [16, 'b7c9f9df6d6bd8b075750de25ef8b2ce'],
  [17, 'd633e30463db164a1210b42b2844b708'],
  [65, '8ca6243a900ad73702997b68b6e7e874'],
  [97, '49175e3333818d99af3476caac6a2818'],
  [128, '1f89463d95789d07684810c47dfc23b1'],
  [129, '817e37e4199c924846def383441ebd8f'],
  [160, '370e8720e4b21a0008aae3287b55d4ec'],
  [240, '472680b6185360fad31a321f96c08b75'],
  [241, '5e38c3db94be612d8bd3aa0d9f127af5'],
  [1024, 'bd3b2335a50f9e323fa1d4d42c21189e'],
  [1025, 'a4b856a83e68e5a6c3b964f69630a13c'],
  [1088, 'd2d0f89b3f36d5b05ef2e042f5c85683'],
  [2000, 'ef328c342debb1a7c8edb33f6e7eee81'],
  [262144, 'd3d24c9ea15555f6f09614ea3f023ea8'],
]

test("xxh3: the C library's digests for every length class", (t) => {
  const pattern = new Uint8Array(262144).map((_, i) => i * 131 + (i >> 8) * 7 + 5)
  for (const [length, digest] of DIGESTS)
    t.is(xxh3(pattern.subarray(0, length)).toString('hex'), digest, `${length}`)
})
