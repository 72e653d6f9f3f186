#pragma once
#include <cstdint>

#include "core/float_convert.h"
#include "core/host_device.h"

// The order in which residual entries are ranked: the bits of |u| as an unsigned integer. For numbers it is
// the order of |u|; ±0 are equal; infinity is above every number; NaN (only with nonFinite = keep) is one
// value above infinity. Entries of equal key are ranked by their position, lower first.

namespace taskfold {

constexpr uint32_t kInfinityKey = 0x7F800000u;
constexpr uint32_t kNaNKey = 0x7FC00000u;
/// One above every key.
constexpr uint32_t kKeyEnd = 0x7FC00001u;
/// As a threshold: nothing is kept.
constexpr uint32_t kKeepNothing = 0xFFFFFFFFu;

TF_HD inline uint32_t MagnitudeKey(float u) {
  const uint32_t magnitude = FloatBits(u) & 0x7FFFFFFFu;
  return magnitude > kInfinityKey ? kNaNKey : magnitude;
}

}  // namespace taskfold
