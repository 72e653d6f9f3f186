#pragma once
#include <cstdint>
#include <vector>

#include "core/code_table.h"
#include "core/number_code.h"
#include "core/rans.h"

// One block's stream of codec step: runs of zeros from the first state, sizes and signs from the second
// (docs/FORMAT.md, "step").

namespace taskfold {

/// The most table pairs of a task: their decoding tables are held in memory.
constexpr size_t kMaxStepPairs = 256;
/// The largest |q|.
constexpr uint32_t kMaxStepCode = kMaxNumber + 1;
/// Words that one entry can take: each of its four reads refills a state at most once.
constexpr uint64_t kMaxEntryWords = 4;

/// Tables of runs and of levels (|q| − 1).
struct StepPair {
  CodeTable run, level;
};

/// A pair made ready for decoding: for each slot place | (frequency − 1) << 12 | token << 24.
struct StepSlots {
  explicit StepSlots(const StepPair& pair);
  uint32_t run[kRansTotal], level[kRansTotal];
};

/// One segment's nonzero codes in memory. Positions ascend.
struct StepEntries {
  std::vector<uint16_t> positions;
  std::vector<int32_t> codes;  ///< q, never 0
};

/// A segment to encode, and its tables.
struct StepSegment {
  const StepEntries* entries;
  const StepPair* pair;  ///< null: none
};

/// Appends the stream of a block's segments; nothing when they have no entries. False when a table lacks one
/// of their tokens (or is not there).
bool EncodeStepBlock(const std::vector<StepSegment>& segments, std::vector<uint8_t>* out);

/// Decodes the segments of one block's stream one after the other.
class StepReader {
 public:
  /// Readable zero bytes that must follow the stream in memory.
  static constexpr size_t kSlack = 8;

  /// `bytes` holds `length` bytes of a stream: 8 and an even number more, and kSlack behind them.
  StepReader(const uint8_t* bytes, size_t length);
  /// `entries` positions and û = q·Δ. False when a position is not below `elements`.
  bool Segment(const StepSlots& slots, float step, size_t entries, size_t elements, uint16_t* positions,
               float* values);
  /// Everything was used and both states are back where the encoder began.
  bool Finished() const { return sound_ && next_ == end_ && x0_ == kRansLow && x1_ == kRansLow; }

 private:
  uint32_t x0_ = 0, x1_ = 0;
  const uint8_t* next_;
  const uint8_t* end_;
  bool sound_;
};

}  // namespace taskfold
