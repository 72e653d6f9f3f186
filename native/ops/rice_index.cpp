#include "ops/rice_index.h"

#include <cstring>

namespace taskfold {

void GapsOf(const uint16_t* positions, size_t count, uint16_t* gaps) {
  int32_t last = -1;
  for (size_t i = 0; i < count; i++) {
    const int32_t position = positions[i];
    gaps[i] = static_cast<uint16_t>(position - last - 1);
    last = position;
  }
}

RiceChoice ChooseRice(const uint16_t* gaps, size_t count) {
  // One more low bit costs an entry one bit and halves its ones, rounded up: what it saves only shrinks, so
  // that the first parameter which the next does not beat is the best.
  uint64_t best = 0;
  for (uint32_t r = 0;; r++) {
    uint64_t ones = 0;
    for (size_t i = 0; i < count; i++) ones += static_cast<uint32_t>(gaps[i]) >> r;
    const uint64_t bits = ones + count * (r + 1);
    if (r > 0 && bits >= best) return {r - 1, 1 + static_cast<size_t>((best + 7) / 8)};
    best = bits;
    if (r == kMaxRiceParameter) return {r, 1 + static_cast<size_t>((best + 7) / 8)};
  }
}

void WriteRice(const uint16_t* gaps, size_t count, RiceChoice choice, uint8_t* out) {
  const uint32_t r = choice.parameter;
  uint8_t* at = out;
  *at++ = static_cast<uint8_t>(r);
  uint64_t bits = 0;
  uint32_t filled = 0;
  const auto put = [&](uint64_t value, uint32_t width) {
    bits |= value << filled;
    filled += width;
    while (filled >= 8) {
      *at++ = static_cast<uint8_t>(bits);
      bits >>= 8;
      filled -= 8;
    }
  };
  for (size_t i = 0; i < count; i++) {
    uint32_t ones = static_cast<uint32_t>(gaps[i]) >> r;
    for (; ones >= 32; ones -= 32) put(0xFFFFFFFF, 32);
    put((uint64_t{1} << ones) - 1, ones + 1);
    put(gaps[i] & ((1U << r) - 1), r);
  }
  if (filled > 0) *at = static_cast<uint8_t>(bits);
}

size_t MostRiceBytes(size_t n, size_t count) { return 1 + (count * (kMaxRiceParameter + 1) + n + 7) / 8; }

const char* ReadRice(const uint8_t* bytes, size_t length, size_t n, size_t count, uint16_t* positions) {
  // A load at any bit gives 57 of them at least.
  constexpr uint32_t kMostOnes = 56;
  if (count == 0) return length == 0 ? nullptr : "has a stream, but no entries";
  if (length < 2 || length > MostRiceBytes(n, count)) return "has a stream of an impossible length";
  const uint32_t r = bytes[0];
  if (r > kMaxRiceParameter) return "has a Rice parameter above 15";
  const uint8_t* stream = bytes + 1;
  const uint64_t end = 8 * (length - 1);
  const uint32_t mask = (1U << r) - 1;
  const auto load = [&](uint64_t bit) {
    uint64_t word;
    memcpy(&word, stream + bit / 8, sizeof word);
    return word >> (bit % 8);
  };
  uint64_t bit = 0;
  uint64_t next = 0;  // the lowest position that may come
  for (size_t i = 0; i < count; i++) {
    const uint64_t word = load(bit);
    auto ones = static_cast<uint32_t>(__builtin_ctzll(~word | uint64_t{1} << kMostOnes));
    uint64_t gap;
    if (ones + 1 + r <= kMostOnes) {
      gap = uint64_t{ones} << r | ((word >> (ones + 1)) & mask);
      bit += ones + 1 + r;
    } else {
      uint64_t sum = 0;
      while (ones == kMostOnes) {
        sum += ones;
        bit += ones;
        if (bit > end) return "has a stream that ends inside an entry";
        ones = static_cast<uint32_t>(__builtin_ctzll(~load(bit) | uint64_t{1} << kMostOnes));
      }
      sum += ones;
      bit += ones + 1;
      if (bit > end) return "has a stream that ends inside an entry";
      gap = sum << r | (load(bit) & mask);
      bit += r;
    }
    if (bit > end) return "has a stream that ends inside an entry";
    const uint64_t position = next + gap;
    if (position >= n) return "has a position behind its end";
    positions[i] = static_cast<uint16_t>(position);
    next = position + 1;
  }
  const uint64_t spare = end - bit;
  if (spare >= 8 || (spare > 0 && stream[length - 2] >> (8 - spare) != 0))
    return "has bits behind its entries";
  return nullptr;
}

}  // namespace taskfold
