// Moves marked items out of a piece and kept items into it. Bound by memory and branches, not by arithmetic:
// scalar code over 64-bit words of marks.
#include "cpu/delta_scatter.h"

#include <cstring>

namespace taskfold {
namespace {

template <class Item>
size_t GatherItems(size_t n, const uint64_t* bits, const Item* src, Item* out) {
  size_t count = 0;
  const size_t words = (n + 63) / 64;
  for (size_t w = 0; w < words; w++) {
    const Item* from = src + w * 64;
    uint64_t word = bits[w];
    if (word == ~uint64_t{0}) {
      memcpy(out + count, from, 64 * sizeof(Item));
      count += 64;
      continue;
    }
    for (; word != 0; word &= word - 1) out[count++] = from[__builtin_ctzll(word)];
  }
  return count;
}

template <class Item>
int32_t ScatterPositions(size_t n, Item* dst, const uint16_t* positions, const Item* values, size_t count) {
  int32_t last = -1;
  for (size_t i = 0; i < count; i++) {
    const int32_t position = positions[i];
    if (position <= last || static_cast<size_t>(position) >= n) return 0;
    last = position;
    dst[position] = values[i];
  }
  return 1;
}

template <class Item>
void ScatterMarked(size_t n, Item* dst, const uint64_t* bits, const Item* values) {
  const size_t words = (n + 63) / 64;
  for (size_t w = 0; w < words; w++) {
    Item* to = dst + w * 64;
    uint64_t word = bits[w];
    if (word == ~uint64_t{0}) {
      memcpy(to, values, 64 * sizeof(Item));
      values += 64;
      continue;
    }
    for (; word != 0; word &= word - 1) to[__builtin_ctzll(word)] = *values++;
  }
}

/// Calls f with a value of the unsigned type of that size.
template <class F>
auto VisitItem(size_t item_size, F&& f) {
  if (item_size == 1) return f(uint8_t{});
  if (item_size == 2) return f(uint16_t{});
  if (item_size == 4) return f(uint32_t{});
  return f(uint64_t{});
}

size_t Gather(size_t item_size, size_t n, const uint64_t* bits, const void* src, void* out) {
  return VisitItem(item_size, [&](auto item) {
    using Item = decltype(item);
    return GatherItems(n, bits, static_cast<const Item*>(src), static_cast<Item*>(out));
  });
}

size_t Positions(size_t n, const uint64_t* bits, uint16_t* out) {
  size_t count = 0;
  const size_t words = (n + 63) / 64;
  for (size_t w = 0; w < words; w++) {
    for (uint64_t word = bits[w]; word != 0; word &= word - 1) {
      out[count++] = static_cast<uint16_t>(w * 64 + static_cast<size_t>(__builtin_ctzll(word)));
    }
  }
  return count;
}

int32_t ScatterU16(size_t item_size, size_t n, void* dst, const uint16_t* positions, const void* values,
                   size_t count) {
  return VisitItem(item_size, [&](auto item) {
    using Item = decltype(item);
    return ScatterPositions(n, static_cast<Item*>(dst), positions, static_cast<const Item*>(values), count);
  });
}

void ScatterBitmap(size_t item_size, size_t n, void* dst, const uint64_t* bits, const void* values) {
  VisitItem(item_size, [&](auto item) {
    using Item = decltype(item);
    ScatterMarked(n, static_cast<Item*>(dst), bits, static_cast<const Item*>(values));
  });
}

}  // namespace

void FillDeltaScatter(TfBackend* table) {
  table->gather = Gather;
  table->positions = Positions;
  table->scatter_u16 = ScatterU16;
  table->scatter_bitmap = ScatterBitmap;
}

}  // namespace taskfold
