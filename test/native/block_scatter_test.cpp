// The CUDA kernel's per-block code, run serially: the same header, one lane after the other.
#include "core/block_scatter.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

namespace {

using taskfold::BlockCount;
using taskfold::BlockScatter;
using taskfold::kBlockElements;
using taskfold::ScatterLane;

int checks = 0;

void Check(bool ok, const char* what, uint64_t elements, double density, uint32_t lanes) {
  ++checks;
  if (ok) return;
  std::fprintf(stderr, "FAILED: %s (elements %llu, density %g, lanes %u)\n", what,
               static_cast<unsigned long long>(elements), density, lanes);
  std::exit(1);
}

template <typename Item, typename Start>
struct Delta {
  std::vector<uint64_t> positions;
  std::vector<Start> starts;
  std::vector<uint16_t> index;
  std::vector<Item> value;
};

template <typename Item, typename Start>
Delta<Item, Start> RandomDelta(uint64_t elements, double density, std::mt19937_64& random) {
  Delta<Item, Start> delta;
  std::bernoulli_distribution keep(density);
  for (uint64_t block = 0; block < BlockCount(elements); ++block) {
    delta.starts.push_back(static_cast<Start>(delta.index.size()));
    const uint64_t first = block * kBlockElements;
    for (uint64_t i = first; i < std::min(elements, first + kBlockElements); ++i) {
      if (!keep(random)) continue;
      delta.positions.push_back(i);
      delta.index.push_back(static_cast<uint16_t>(i - first));
      delta.value.push_back(static_cast<Item>(random()));
    }
  }
  delta.starts.push_back(static_cast<Start>(delta.index.size()));
  return delta;
}

template <typename Item, typename Start>
uint64_t RunSerially(const BlockScatter<Item, Start>& job, uint32_t lanes, bool backwards) {
  uint64_t refused = 0;
  for (uint64_t block = 0; block < BlockCount(job.elements); ++block) {
    for (uint32_t i = 0; i < lanes; ++i)
      refused += ScatterLane(job, block, backwards ? lanes - 1 - i : i, lanes);
  }
  return refused;
}

// Against the naive reference: one position, one value, in any order. Heap arrays of exact size, so that the
// address sanitizer sees any step outside.
template <typename Item, typename Start>
void AgreesWithNaiveScatter(uint64_t elements, double density, std::mt19937_64& random) {
  const Delta<Item, Start> delta = RandomDelta<Item, Start>(elements, density, random);
  std::vector<Item> original(elements);
  for (Item& item : original) item = static_cast<Item>(random());
  std::vector<Item> expected = original;
  for (size_t i = 0; i < delta.positions.size(); ++i) expected[delta.positions[i]] = delta.value[i];
  for (const uint32_t lanes : {1u, 3u, 32u, 512u}) {
    std::vector<Item> dense = original;
    const BlockScatter<Item, Start> job{dense.data(), elements, delta.starts.data(), delta.index.data(),
                                        delta.value.data()};
    Check(RunSerially(job, lanes, false) == 0, "no entry is refused", elements, density, lanes);
    Check(dense == expected, "result equals the naive scatter", elements, density, lanes);
    Check(RunSerially(job, lanes, true) == 0 && dense == expected,
          "applying it again, lanes backwards, changes nothing", elements, density, lanes);
  }
}

// The last block may be shorter than 65 536 elements; a file may still name positions behind its end.
void RefusesEntriesBehindTheEnd() {
  for (const uint64_t elements : {uint64_t{1}, uint64_t{7}, kBlockElements + 3}) {
    const uint64_t blocks = BlockCount(elements);
    const uint64_t left = elements - (blocks - 1) * kBlockElements;
    std::vector<uint16_t> dense(elements, 1);
    std::vector<uint32_t> starts(blocks + 1, 0);
    const std::vector<uint16_t> index = {0, static_cast<uint16_t>(left), 65535};
    starts[blocks] = static_cast<uint32_t>(index.size());
    const std::vector<uint16_t> value = {9, 9, 9};
    const BlockScatter<uint16_t, uint32_t> job{dense.data(), elements, starts.data(), index.data(),
                                               value.data()};
    Check(RunSerially(job, 2, false) == 2, "both entries behind the end are refused", elements, 0, 2);
    std::vector<uint16_t> expected(elements, 1);
    expected[elements - left] = 9;
    Check(dense == expected, "only the entry inside is stored", elements, 0, 2);
  }
}

void CountsBlocks() {
  Check(BlockCount(0) == 0, "no block for an empty tensor", 0, 0, 0);
  Check(BlockCount(1) == 1, "one block for a scalar", 1, 0, 0);
  Check(BlockCount(65536) == 1, "one full block", 65536, 0, 0);
  Check(BlockCount(65537) == 2, "one element more", 65537, 0, 0);
  Check(BlockCount(UINT64_MAX) == (uint64_t{1} << 48), "no overflow", UINT64_MAX, 0, 0);
}

}  // namespace

int main() {
  std::mt19937_64 random(20231018);
  CountsBlocks();
  for (const uint64_t elements : {1, 2, 31, 65535, 65536, 65537, 200003}) {
    for (const double density : {0.0, 0.01, 0.5, 1.0}) {
      AgreesWithNaiveScatter<uint8_t, uint32_t>(elements, density, random);
      AgreesWithNaiveScatter<uint16_t, uint32_t>(elements, density, random);
      AgreesWithNaiveScatter<uint32_t, uint64_t>(elements, density, random);
    }
  }
  RefusesEntriesBehindTheEnd();
  std::printf("block_scatter: %d checks passed\n", checks);
  return 0;
}
