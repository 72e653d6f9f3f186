#include "ops/added_values.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/registry.h"
#include "core/float_convert.h"

namespace taskfold {
namespace {

constexpr int32_t kMaxInt4 = 7;
constexpr uint16_t kLargestF16 = 0x7BFF;
/// Divisors of the largest residual that are tried as scales: above 7.5 the largest is clamped, so that the
/// many smaller ones get finer steps. Of equals the first is taken.
constexpr float kInt4Divisors[] = {7.0F, 7.5F, 6.5F, 8.0F, 8.5F, 9.0F, 10.0F, 12.0F};

template <class Item>
void AddItems(Item* dst, const uint16_t* positions, size_t count, const float* u, Item* room) {
  for (size_t i = 0; i < count; i++) {
    if (u[i] != 0) dst[positions ? positions[i] : i] = room[i];
  }
}

/// F16 bits of largest ÷ divisor, never infinite.
uint16_t ScaleOf(float largest, float divisor) {
  const uint16_t bits = FloatToF16(largest / divisor);
  return std::min(bits, kLargestF16);
}

/// Nearest whole number of |x| < 2²², halves to even: the sum has no bits left for a fraction.
float RoundSmall(float x) {
  constexpr float kNoFraction = 12582912.0F;  // 1.5 · 2²³
  return x + kNoFraction - kNoFraction;
}

/// Squared error of the codes that a scale makes; codes null: only that.
double CodeInt4(const float* u, size_t count, float scale, int8_t* codes) {
  double error = 0;
  for (size_t i = 0; i < count; i++) {
    const float code = scale > 0 ? RoundSmall(std::clamp(u[i] / scale, -7.0F, 7.0F)) : 0.0F;
    const double left = static_cast<double>(u[i]) - static_cast<double>(code * scale);
    error += left * left;
    if (codes) codes[i] = static_cast<int8_t>(code);
  }
  return error;
}

}  // namespace

void DecodeSigns(const uint8_t* bits, uint64_t first, size_t count, float scale, float* out) {
  const size_t shift = first & 7;
  for (size_t i = 0; i < count; i++) {
    const size_t at = shift + i;
    out[i] = bits[at / 8] >> (at % 8) & 1 ? -scale : scale;
  }
}

const char* DecodeInt4(const uint8_t* nibbles, const uint16_t* scales, uint64_t first, size_t count,
                       float* out) {
  const uint64_t group = first / kInt4Group;
  bool fits = true;
  size_t i = 0;
  while (i < count) {
    const uint64_t entry = first + i;
    const uint16_t bits = scales[entry / kInt4Group - group];
    // Finite and not negative: bits above those of the largest value are infinity, NaN, or have a sign.
    if (bits > kLargestF16) return "has a scale that is negative or not finite";
    const float scale = F16ToFloat(bits);
    const size_t end = std::min<size_t>(count, i + static_cast<size_t>(kInt4Group - entry % kInt4Group));
    for (; i < end; i++) {
      const size_t at = (first & 1) + i;
      const int32_t nibble = nibbles[at / 2] >> (at % 2 * 4) & 15;
      const int32_t code = nibble - (nibble & 8) * 2;
      fits &= code >= -kMaxInt4;
      out[i] = static_cast<float>(code) * scale;
    }
  }
  return fits ? nullptr : "has the code -8";
}

uint16_t EncodeInt4(const float* u, size_t count, int8_t* codes) {
  float largest = 0;
  for (size_t i = 0; i < count; i++) largest = std::max(largest, std::fabs(u[i]));
  uint16_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (const float divisor : kInt4Divisors) {
    const uint16_t bits = ScaleOf(largest, divisor);
    const double error = CodeInt4(u, count, F16ToFloat(bits), nullptr);
    if (error < least) {
      least = error;
      best = bits;
    }
  }
  CodeInt4(u, count, F16ToFloat(best), codes);
  return best;
}

void AddToItems(Dtype dtype, void* dst, const uint16_t* positions, size_t count, const float* u,
                float* room) {
  const TfBackend& backend = ActiveBackend();
  const auto number = static_cast<int32_t>(dtype);
  float* sums = room;
  auto* items = reinterpret_cast<uint8_t*>(room + count);
  const auto add = [&](auto* typed) {
    using Item = std::remove_pointer_t<decltype(typed)>;
    auto* out = reinterpret_cast<Item*>(items);
    const void* from = typed;
    if (positions) {
      for (size_t i = 0; i < count; i++) out[i] = typed[positions[i]];
      from = out;
    }
    backend.widen(number, count, from, sums);
    for (size_t i = 0; i < count; i++) sums[i] += u[i];
    backend.narrow(number, count, sums, out);
    AddItems(typed, positions, count, u, out);
  };
  if (ItemSize(dtype) == 1) return add(static_cast<uint8_t*>(dst));
  if (ItemSize(dtype) == 2) return add(static_cast<uint16_t*>(dst));
  add(static_cast<uint32_t*>(dst));
}

}  // namespace taskfold
