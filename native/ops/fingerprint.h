#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/run_control.h"

namespace taskfold {

/// Bytes of one leaf (docs/FORMAT.md, "Fingerprints").
constexpr size_t kLeafBytes = 262144;

/// XXH3-128 in canonical form (big-endian).
struct Digest {
  uint8_t bytes[16];
};

/// Digest of one leaf that arrives in pieces.
class LeafHasher {
 public:
  LeafHasher();
  ~LeafHasher();
  void Add(const void* data, size_t length);
  Digest Finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Leaves of a region of that many bytes.
constexpr uint64_t LeafCount(uint64_t bytes) { return (bytes + kLeafBytes - 1) / kLeafBytes; }

/// Fingerprint from the digests of all leaves in order: XXH3-128 of their concatenation, as 32 hex digits.
std::string CombineLeaves(const Digest* leaves, size_t count);

/// Fingerprints of byte regions, one after the other, leaves in parallel.
std::vector<std::string> FingerprintRegions(const std::vector<Region>& regions, RunControl& control);

}  // namespace taskfold
