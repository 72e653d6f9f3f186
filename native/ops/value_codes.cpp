#include "ops/value_codes.h"

#include <array>
#include <cstring>

#include "core/rans.h"

namespace taskfold {
namespace {

/// The sign goes to the lowest bit: the high byte then holds the exponent alone.
template <class Item>
Item RotateLeft(Item x) {
  return static_cast<Item>(x << 1 | x >> (8 * sizeof(Item) - 1));
}
template <class Item>
Item RotateRight(Item x) {
  return static_cast<Item>(x >> 1 | x << (8 * sizeof(Item) - 1));
}
template <class Item>
Item Load(const uint8_t* items, size_t i) {
  Item x;
  memcpy(&x, items + i * sizeof(Item), sizeof x);
  return x;
}
template <class Item>
uint32_t SymbolOf(Item rotated) {
  return rotated >> (8 * (sizeof(Item) - 1)) & 0xFF;
}

template <class F>
auto VisitItem(size_t item, F&& f) {
  if (item == 1) return f(uint8_t{});
  if (item == 2) return f(uint16_t{});
  return f(uint32_t{});
}

template <class Item>
void WriteItems(const uint8_t* items, size_t count, const CodeTable& table, std::vector<uint8_t>* out) {
  for (size_t i = 0; i < count; i++) {
    const Item x = RotateLeft(Load<Item>(items, i));
    for (size_t byte = 0; byte + 1 < sizeof(Item); byte++)
      out->push_back(static_cast<uint8_t>(x >> 8 * byte));
  }
  RansWriter writer;
  for (size_t i = count; i-- > 0;) {
    const uint32_t symbol = SymbolOf(RotateLeft(Load<Item>(items, i)));
    writer.Symbol(i & 1, table.Start(symbol), table.Frequency(symbol));
  }
  writer.Finish(out);
}

/// RansReader on two states in registers, without a branch that depends on the data.
template <class Item>
const char* ReadItems(const uint8_t* bytes, size_t length, size_t count, const uint32_t* slots,
                      uint8_t* items) {
  constexpr size_t kRaw = sizeof(Item) - 1;
  constexpr const char* kDamaged = "has values that were not coded so";
  const uint8_t* raw = bytes;
  const uint8_t* next = bytes + count * kRaw;
  const uint8_t* end = bytes + length;
  uint32_t state[2];
  memcpy(state, next, sizeof state);
  next += sizeof state;
  if (state[0] < kRansLow || state[1] < kRansLow) return kDamaged;
  const auto decode = [&](uint32_t& x) {
    const uint32_t slot = slots[x & (kRansTotal - 1)];
    const uint32_t y = ((slot >> 8 & 0xFFF) + 1) * (x >> kRansBits) + (slot >> 20);
    uint16_t word;
    memcpy(&word, next, sizeof word);
    const bool refill = y < kRansLow;
    next += refill ? 2 : 0;
    x = refill ? y << 16 | word : y;
    return slot & 0xFF;
  };
  const auto store = [&](size_t i, uint32_t symbol) {
    uint32_t x = symbol << (8 * kRaw);
    for (size_t byte = 0; byte < kRaw; byte++) x |= static_cast<uint32_t>(raw[byte]) << (8 * byte);
    raw += kRaw;
    const Item value = RotateRight(static_cast<Item>(x));
    memcpy(items + i * sizeof(Item), &value, sizeof value);
  };
  size_t i = 0;
  for (; i + 2 <= count; i += 2) {
    const uint32_t first = decode(state[0]);
    const uint32_t second = decode(state[1]);
    store(i, first);
    store(i + 1, second);
    if (next > end) return kDamaged;
  }
  if (i < count) store(i, decode(state[0]));
  return next == end && state[0] == kRansLow && state[1] == kRansLow ? nullptr : kDamaged;
}

}  // namespace

std::vector<uint32_t> ValueSlots(const CodeTable& table) {
  std::vector<uint32_t> packed;
  for (const RansSlot& slot : table.Slots()) {
    packed.push_back(slot.symbol | (slot.frequency - 1U) << 8 | static_cast<uint32_t>(slot.place) << 20);
  }
  return packed;
}

void CountValueSymbols(const uint8_t* items, size_t item, size_t count, uint64_t* counts) {
  VisitItem(item, [&](auto type) {
    using Item = decltype(type);
    // Equal neighbours are common: two histograms keep a store from waiting for the one before.
    std::array<std::array<uint32_t, 256>, 2> part{};
    for (size_t i = 0; i < count; i++) part[i & 1][SymbolOf(RotateLeft(Load<Item>(items, i)))]++;
    for (size_t s = 0; s < 256; s++) counts[s] += uint64_t{part[0][s]} + part[1][s];
  });
}

void WriteValues(const uint8_t* items, size_t item, size_t count, const CodeTable& table,
                 std::vector<uint8_t>* out) {
  VisitItem(item, [&](auto type) { WriteItems<decltype(type)>(items, count, table, out); });
}

const char* ReadValues(const uint8_t* bytes, size_t length, size_t item, size_t count, const uint32_t* slots,
                       uint8_t* items) {
  if (count == 0) return length == 0 ? nullptr : "has values, but no entries";
  const size_t least = count * (item - 1) + kRansHeader;
  // A symbol takes one word at most.
  if (length < least || length > least + 2 * count) return "has values of an impossible length";
  return VisitItem(item,
                   [&](auto type) { return ReadItems<decltype(type)>(bytes, length, count, slots, items); });
}

}  // namespace taskfold
