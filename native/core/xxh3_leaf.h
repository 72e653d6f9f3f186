#pragma once
#include <cstddef>
#include <cstdint>

#include "core/host_device.h"

// XXH3-128 with seed 0 and the default secret, written from the algorithm's specification (xxHash project,
// doc/xxhash_spec.md) for machines that xxhash.h does not run on. Inputs of more than 240 bytes are hashed in
// eight lanes that meet at the end only, so that eight threads can share one input:
// acc[lane] = Xxh3Lane(bytes, length, lane); Xxh3Merge(acc, length).

namespace taskfold {

struct Xxh3Hash {
  uint64_t low;
  uint64_t high;
};

constexpr uint32_t kXxh3Lanes = 8;
/// Longer inputs are hashed in lanes.
constexpr uint64_t kXxh3ShortBytes = 240;
constexpr uint32_t kXxh3SecretWords = 24;
/// A stripe is 8 bytes of each lane; after 16 stripes the lanes are scrambled.
constexpr uint32_t kXxh3StripeBytes = 64;
constexpr uint32_t kXxh3BlockStripes = 16;

namespace xxh3 {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87u;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4Fu;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9u;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63u;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5u;
constexpr uint32_t kPrime32_1 = 0x9E3779B1u;
constexpr uint32_t kPrime32_2 = 0x85EBCA77u;
constexpr uint32_t kPrime32_3 = 0xC2B2AE3Du;

/// Word i of the default secret, its bytes read as little-endian numbers.
TF_HD inline uint64_t SecretWord(uint32_t i) {
  static constexpr uint64_t kWords[kXxh3SecretWords] = {
      0xBE4BA423396CFEB8u, 0x1CAD21F72C81017Cu, 0xDB979083E96DD4DEu, 0x1F67B3B7A4A44072u, 0x78E5C0CC4EE679CBu,
      0x2172FFCC7DD05A82u, 0x8E2443F7744608B8u, 0x4C263A81E69035E0u, 0xCB00C391BB52283Cu, 0xA32E531B8B65D088u,
      0x4EF90DA297486471u, 0xD8ACDEA946EF1938u, 0x3F349CE33F76FAA8u, 0x1D4F0BC7C7BBDCF9u, 0x3159B4CD4BE0518Au,
      0x647378D9C97E9FC8u, 0xC3EBD33483ACC5EAu, 0xEB6313FAFFA081C5u, 0x49DAF0B751DD0D17u, 0x9E68D429265516D3u,
      0xFCA1477D58BE162Bu, 0xCE31D07AD1B8F88Fu, 0x280416958F3ACB45u, 0x7E404BBBCAFBD7AFu,
  };
  return kWords[i];
}

/// Eight bytes of the secret from any place.
TF_HD inline uint64_t Secret(uint32_t at) {
  const uint32_t shift = at % 8 * 8;
  const uint64_t first = SecretWord(at / 8);
  return shift == 0 ? first : first >> shift | SecretWord(at / 8 + 1) << (64 - shift);
}

TF_HD inline uint64_t Word(const uint8_t* bytes) {
  uint64_t word = 0;
  for (uint32_t i = 0; i < 8; i++) word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return word;
}
TF_HD inline uint32_t HalfWord(const uint8_t* bytes) {
  uint32_t word = 0;
  for (uint32_t i = 0; i < 4; i++) word |= static_cast<uint32_t>(bytes[i]) << (8 * i);
  return word;
}

TF_HD inline uint32_t ByteSwap(uint32_t x) {
  return x << 24 | (x & 0xFF00u) << 8 | (x >> 8 & 0xFF00u) | x >> 24;
}
TF_HD inline uint64_t ByteSwap(uint64_t x) {
  return static_cast<uint64_t>(ByteSwap(static_cast<uint32_t>(x))) << 32 |
         ByteSwap(static_cast<uint32_t>(x >> 32));
}

/// The product of two words, from those of their halves.
TF_HD inline Xxh3Hash Multiply(uint64_t a, uint64_t b) {
  const uint64_t a0 = a & 0xFFFFFFFFu, a1 = a >> 32, b0 = b & 0xFFFFFFFFu, b1 = b >> 32;
  const uint64_t low = a0 * b0;
  const uint64_t middle = a1 * b0 + (low >> 32);  // cannot overflow
  const uint64_t other = a0 * b1 + (middle & 0xFFFFFFFFu);
  return {other << 32 | (low & 0xFFFFFFFFu), a1 * b1 + (middle >> 32) + (other >> 32)};
}
TF_HD inline uint64_t Fold(uint64_t a, uint64_t b) {
  const Xxh3Hash product = Multiply(a, b);
  return product.low ^ product.high;
}

TF_HD inline uint64_t Avalanche3(uint64_t x) {
  x = (x ^ x >> 37) * 0x165667919E3779F9u;
  return x ^ x >> 32;
}
TF_HD inline uint64_t Avalanche64(uint64_t x) {
  x = (x ^ x >> 33) * kPrime2;
  x = (x ^ x >> 29) * kPrime3;
  return x ^ x >> 32;
}

TF_HD inline Xxh3Hash UpTo3(const uint8_t* bytes, uint32_t n) {
  const uint32_t low = static_cast<uint32_t>(bytes[0]) << 16 | static_cast<uint32_t>(bytes[n / 2]) << 24 |
                       bytes[n - 1] | n << 8;
  const uint32_t turned = ByteSwap(low);
  const uint32_t high = turned << 13 | turned >> 19;
  const uint64_t first = SecretWord(0), second = SecretWord(1);
  return {Avalanche64(low ^ ((first & 0xFFFFFFFFu) ^ first >> 32)),
          Avalanche64(high ^ ((second & 0xFFFFFFFFu) ^ second >> 32))};
}

TF_HD inline Xxh3Hash UpTo8(const uint8_t* bytes, uint32_t n) {
  const uint64_t both = HalfWord(bytes) | static_cast<uint64_t>(HalfWord(bytes + n - 4)) << 32;
  Xxh3Hash hash = Multiply(both ^ SecretWord(2) ^ SecretWord(3), kPrime1 + n * 4);
  hash.high += hash.low << 1;
  hash.low ^= hash.high >> 3;
  hash.low = (hash.low ^ hash.low >> 35) * 0x9FB21C651E98DF25u;
  hash.low ^= hash.low >> 28;
  hash.high = Avalanche3(hash.high);
  return hash;
}

TF_HD inline Xxh3Hash UpTo16(const uint8_t* bytes, uint32_t n) {
  const uint64_t last = Word(bytes + n - 8);
  const Xxh3Hash product = Multiply(Word(bytes) ^ last ^ SecretWord(4) ^ SecretWord(5), kPrime1);
  const uint64_t keyed = last ^ SecretWord(6) ^ SecretWord(7);
  const uint64_t high = product.high + keyed + (keyed & 0xFFFFFFFFu) * (kPrime32_2 - 1);
  const uint64_t low = (product.low + (static_cast<uint64_t>(n - 1) << 54)) ^ ByteSwap(high);
  const Xxh3Hash hash = Multiply(low, kPrime2);
  return {Avalanche3(hash.low), Avalanche3(hash.high + high * kPrime2)};
}

TF_HD inline uint64_t Mix16(const uint8_t* bytes, uint32_t key) {
  return Fold(Word(bytes) ^ Secret(key), Word(bytes + 8) ^ Secret(key + 8));
}
TF_HD inline void Mix32(Xxh3Hash& acc, const uint8_t* a, const uint8_t* b, uint32_t key) {
  acc.low = (acc.low + Mix16(a, key)) ^ (Word(b) + Word(b + 8));
  acc.high = (acc.high + Mix16(b, key + 16)) ^ (Word(a) + Word(a + 8));
}

TF_HD inline Xxh3Hash UpTo240(const uint8_t* bytes, uint32_t n) {
  Xxh3Hash acc = {n * kPrime1, 0};
  if (n <= 128) {
    for (uint32_t i = (n + 31) / 32; i-- > 0;) Mix32(acc, bytes + 16 * i, bytes + n - 16 * (i + 1), 32 * i);
  } else {
    for (uint32_t i = 0; i < 4; i++) Mix32(acc, bytes + 32 * i, bytes + 32 * i + 16, 32 * i);
    acc = {Avalanche3(acc.low), Avalanche3(acc.high)};
    for (uint32_t i = 4; i < n / 32; i++) {
      Mix32(acc, bytes + 32 * i, bytes + 32 * i + 16, 3 + 32 * (i - 4));
    }
    Mix32(acc, bytes + n - 16, bytes + n - 32, 103);
  }
  const uint64_t high = acc.low * kPrime1 + acc.high * kPrime4 + n * kPrime2;
  return {Avalanche3(acc.low + acc.high), 0 - Avalanche3(high)};
}

/// Adds one stripe to a lane: its own word, and that of the lane beside it.
TF_HD inline uint64_t AddStripe(uint64_t acc, uint64_t own, uint64_t beside, uint64_t secret) {
  const uint64_t keyed = own ^ secret;
  return acc + beside + (keyed & 0xFFFFFFFFu) * (keyed >> 32);
}
/// After the last stripe of a block. `secret`: the word 16 + lane.
TF_HD inline uint64_t Scramble(uint64_t acc, uint64_t secret) {
  return (acc ^ acc >> 47 ^ secret) * kPrime32_1;
}

TF_HD inline uint64_t LaneStart(uint32_t lane) {
  static constexpr uint64_t kStart[kXxh3Lanes] = {kPrime32_3, kPrime1,    kPrime2, kPrime3,
                                                  kPrime4,    kPrime32_2, kPrime5, kPrime32_1};
  return kStart[lane];
}

/// Full stripes of an input that are added in order; the last 64 bytes are added once more, or for the first
/// time, under another secret.
TF_HD inline uint64_t FullStripes(uint64_t length) { return (length - 1) / kXxh3StripeBytes; }

/// Adds the last 64 bytes, which may overlap the last full stripe, to a lane.
TF_HD inline uint64_t AddLastStripe(uint64_t acc, const uint8_t* bytes, uint64_t length, uint32_t lane) {
  const uint8_t* last = bytes + length - kXxh3StripeBytes;
  return AddStripe(acc, Word(last + 8 * lane), Word(last + 8 * (lane ^ 1)), Secret(121 + 8 * lane));
}

TF_HD inline uint64_t MergeLanes(const uint64_t acc[kXxh3Lanes], uint32_t key, uint64_t sum) {
  for (uint32_t i = 0; i < 4; i++) {
    sum += Fold(acc[2 * i] ^ Secret(key + 16 * i), acc[2 * i + 1] ^ Secret(key + 16 * i + 8));
  }
  return Avalanche3(sum);
}

}  // namespace xxh3

/// One lane of an input of more than 240 bytes.
TF_HD inline uint64_t Xxh3Lane(const uint8_t* bytes, uint64_t length, uint32_t lane) {
  uint64_t acc = xxh3::LaneStart(lane);
  const uint64_t stripes = xxh3::FullStripes(length);
  for (uint64_t s = 0; s < stripes; s++) {
    const uint8_t* stripe = bytes + s * kXxh3StripeBytes;
    const auto place = static_cast<uint32_t>(s % kXxh3BlockStripes);
    acc = xxh3::AddStripe(acc, xxh3::Word(stripe + 8 * lane), xxh3::Word(stripe + 8 * (lane ^ 1)),
                          xxh3::SecretWord(place + lane));
    if (place == kXxh3BlockStripes - 1) acc = xxh3::Scramble(acc, xxh3::SecretWord(16 + lane));
  }
  return xxh3::AddLastStripe(acc, bytes, length, lane);
}

/// What the lanes of an input of more than 240 bytes give together.
TF_HD inline Xxh3Hash Xxh3Merge(const uint64_t acc[kXxh3Lanes], uint64_t length) {
  return {xxh3::MergeLanes(acc, 11, length * xxh3::kPrime1),
          xxh3::MergeLanes(acc, 117, ~(length * xxh3::kPrime2))};
}

/// Inputs of 1 … 240 bytes.
TF_HD inline Xxh3Hash Xxh3Short(const uint8_t* bytes, uint64_t length) {
  const auto n = static_cast<uint32_t>(length);
  if (n <= 3) return xxh3::UpTo3(bytes, n);
  if (n <= 8) return xxh3::UpTo8(bytes, n);
  if (n <= 16) return xxh3::UpTo16(bytes, n);
  return xxh3::UpTo240(bytes, n);
}

/// Any input but an empty one.
TF_HD inline Xxh3Hash Xxh3(const uint8_t* bytes, uint64_t length) {
  if (length <= kXxh3ShortBytes) return Xxh3Short(bytes, length);
  uint64_t acc[kXxh3Lanes];
  for (uint32_t lane = 0; lane < kXxh3Lanes; lane++) acc[lane] = Xxh3Lane(bytes, length, lane);
  return Xxh3Merge(acc, length);
}

/// The canonical form: the high word first, big-endian.
TF_HD inline void Xxh3Canonical(Xxh3Hash hash, uint8_t digest[16]) {
  for (uint32_t i = 0; i < 8; i++) {
    digest[i] = static_cast<uint8_t>(hash.high >> (56 - 8 * i));
    digest[8 + i] = static_cast<uint8_t>(hash.low >> (56 - 8 * i));
  }
}

}  // namespace taskfold
