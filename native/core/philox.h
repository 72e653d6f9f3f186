#pragma once
#include <cstdint>

#include "core/host_device.h"

// Random numbers by counter: the word at a place is a function of the seed and the place, so that any thread,
// block order or device makes the same ones. Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel random
// numbers: as easy as 1, 2, 3" (SC 2011).

namespace taskfold {

struct PhiloxBlock {
  uint32_t word[4];
};

/// Ten rounds on one counter under one key.
TF_HD inline PhiloxBlock Philox4x32(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; round++) {
    const uint64_t left = static_cast<uint64_t>(0xD2511F53u) * counter.word[0];
    const uint64_t right = static_cast<uint64_t>(0xCD9E8D57u) * counter.word[2];
    counter = {{static_cast<uint32_t>(right >> 32) ^ counter.word[1] ^ key0, static_cast<uint32_t>(right),
                static_cast<uint32_t>(left >> 32) ^ counter.word[3] ^ key1, static_cast<uint32_t>(left)}};
    key0 += 0x9E3779B9u;  // golden ratio
    key1 += 0xBB67AE85u;  // √3 − 1
  }
  return counter;
}

TF_HD inline int32_t BitCount(uint32_t x) {
  x = x - ((x >> 1) & 0x55555555u);
  x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
  return static_cast<int32_t>((((x + (x >> 4)) & 0x0F0F0F0Fu) * 0x01010101u) >> 24);
}

/// Entries (row, 4 · group … 4 · group + 3) of the test matrix Ω of a randomized SVD. Each is the number of
/// set bits of a random word minus 16: a binomial of mean 0 and variance 8, nearly Gaussian, and an exact
/// small integer on every machine, because no logarithm or cosine is involved.
TF_HD inline void TestMatrixEntries(uint64_t seed, uint64_t row, uint32_t group, float out[4]) {
  const PhiloxBlock counter = {{static_cast<uint32_t>(row), static_cast<uint32_t>(row >> 32), group, 0}};
  const PhiloxBlock random =
      Philox4x32(counter, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  for (int i = 0; i < 4; i++) out[i] = static_cast<float>(BitCount(random.word[i]) - 16);
}

}  // namespace taskfold
