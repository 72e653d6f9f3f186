#pragma once
#include <cstddef>
#include <cstdint>

// Golomb–Rice codes of the gaps between kept positions (docs/FORMAT.md, index code rice): of random
// positions, within a few percent of their entropy.

namespace taskfold {

constexpr uint32_t kMaxRiceParameter = 15;

/// How a block is coded in the fewest bits; of equals the lowest parameter.
struct RiceChoice {
  uint32_t parameter = 0;
  /// Of the block's stream.
  size_t bytes = 0;
};

/// gaps[i] = positions[i] − positions[i − 1] − 1, with −1 before the first. In place is allowed.
void GapsOf(const uint16_t* positions, size_t count, uint16_t* gaps);
/// count > 0.
RiceChoice ChooseRice(const uint16_t* gaps, size_t count);
/// Writes choice.bytes bytes.
void WriteRice(const uint16_t* gaps, size_t count, RiceChoice choice, uint8_t* out);

/// The longest stream that any parameter makes of so many entries of a block of n elements.
size_t MostRiceBytes(size_t n, size_t count);

/// Ascending positions of a block of n elements from its stream, behind which BlockStreams::kSlack zeros
/// stand. Null, or what is wrong.
const char* ReadRice(const uint8_t* bytes, size_t length, size_t n, size_t count, uint16_t* positions);

}  // namespace taskfold
