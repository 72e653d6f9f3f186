#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/region.h"
#include "ops/scratch.h"

namespace taskfold {

/// Where the streams of an entropy code's blocks lie inside its array (docs/FORMAT.md, "Arrays"): offsets in
/// front of all streams, so that every block is found at once.
class BlockStreams {
 public:
  /// Zeros behind the bytes that Read gives, for decoders that load whole words.
  static constexpr size_t kSlack = 16;

  /// Bytes of one offset: streams of fewer than 2²⁹ elements are shorter than 2³² bytes.
  static size_t Width(uint64_t elements) { return elements < (uint64_t{1} << 29) ? 4 : 8; }
  /// Bytes of the offsets.
  static uint64_t OffsetBytes(uint64_t elements);
  /// The stored form of offsets [blocks + 1].
  static std::vector<uint8_t> Encode(uint64_t elements, const std::vector<uint64_t>& offsets);

  BlockStreams() = default;
  /// Reads the offsets at the front of `array`; streams begin at byte `front`, behind whatever follows the
  /// offsets. Empty when they fall, do not begin with 0, or lead out of the array.
  BlockStreams(const Region& array, uint64_t elements, uint64_t front);
  bool empty() const { return offsets_.empty(); }
  uint64_t Length(uint64_t block) const { return offsets_[block + 1] - offsets_[block]; }
  /// A block's stream, in scratch, with kSlack zeros behind it.
  const uint8_t* Read(const Region& array, uint64_t block, Scratch& scratch, size_t slot) const;

 private:
  std::vector<uint64_t> offsets_;
  uint64_t front_ = 0;
};

}  // namespace taskfold
