#pragma once
#include <cstdint>

#include "block.h"

namespace taskfold::cuda {

TF_KERNEL inline uint32_t CountBits(uint32_t bits) {
#ifdef __CUDACC__
  return static_cast<uint32_t>(__popc(bits));
#else
  return static_cast<uint32_t>(__builtin_popcount(bits));
#endif
}

/// Number of the lowest set bit; there is one.
TF_KERNEL inline uint32_t LowestBit(uint32_t bits) {
#ifdef __CUDACC__
  return static_cast<uint32_t>(__ffs(bits)) - 1;
#else
  return static_cast<uint32_t>(__builtin_ctz(bits));
#endif
}

/// The lowest `most` set bits.
TF_KERNEL inline uint32_t KeepLowest(uint32_t bits, uint32_t most) {
  if (CountBits(bits) <= most) return bits;
  uint32_t rest = bits;
  for (uint32_t i = 0; i < most; i++) rest &= rest - 1;
  return bits ^ rest;
}

TF_KERNEL inline uint64_t Least(uint64_t a, uint64_t b) { return a < b ? a : b; }
TF_KERNEL inline uint32_t Least32(uint32_t a, uint32_t b) { return a < b ? a : b; }

}  // namespace taskfold::cuda
