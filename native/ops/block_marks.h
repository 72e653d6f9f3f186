#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/block_scatter.h"
#include "core/region.h"
#include "core/run_control.h"
#include "ops/scratch.h"
#include "ops/selection.h"

namespace taskfold {

static_assert(kBlockElements == TF_MAX_PIECE);
constexpr size_t kBlockWords = kBlockElements / 64;

/// Which entries of one block are kept, and the task's values there.
struct MarkedBlock {
  size_t elements = 0;
  uint64_t kept = 0;
  TfMarks marks{};
  const void* values = nullptr;  // [elements] of the storage dtype
  const void* merged = nullptr;  // [elements], null when the values themselves are ranked
  uint64_t bits[kBlockWords];
};

/// Finds the kept entries of consecutive blocks of one tensor in two steps, because the share of ties that a
/// block may keep depends on all blocks before it.
class BlockMarker {
 public:
  struct Source {
    const std::string* name;
    uint64_t elements;
    Dtype dtype;
    const Operand* task;
    const Region* merged;  // null: the values themselves are ranked
  };
  BlockMarker(const Source& source, bool keep_non_finite)
      : source_(source), keep_non_finite_(keep_non_finite) {}

  /// Marks up to `count` blocks from `first_block` on, in parallel; spends `ties` in order. `buffers` gives
  /// every block memory for its values.
  void Mark(uint64_t first_block, size_t count, Threshold threshold, uint64_t* ties,
            std::vector<MarkedBlock>& blocks, std::vector<Scratch>& buffers, RunControl& control) const;

 private:
  Source source_;
  bool keep_non_finite_;
};

/// The key to mark with: with no tie left to keep, the next one up, and nothing has to be dropped again.
uint32_t MarkingKey(const Threshold& threshold, uint64_t ties);

/// Second step: decides, in order, which of the marked ties are kept, and counts. `key` is what they were
/// marked with.
void SettleTies(Dtype dtype, const Threshold& threshold, uint32_t key, uint64_t* ties, MarkedBlock* blocks,
                size_t count);

/// Blocks that are worked on together: enough for the threads, few enough for the memory.
size_t BlocksPerGroup(unsigned threads);

}  // namespace taskfold
