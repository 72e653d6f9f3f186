#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "core/run_control.h"
#include "ops/selection.h"
#include "ops/task_vector.h"

namespace taskfold {

/// The entries of one tensor whose key is at least a lower bound, copied out in one pass: when the bound is
/// below the k-th key, everything else about the selection can be decided among them, without reading the
/// tensor again.
class CandidateSet {
 public:
  /// Compact copies of one block's candidates, in order of their positions.
  struct Block {
    size_t count = 0;
    const uint16_t* positions = nullptr;  // inside the block
    const void* values = nullptr;         // [count] of the storage dtype
    const void* merged = nullptr;         // [count], null when the values themselves are ranked
  };

  /// NON_FINITE as CountResiduals. The tensor has one task. Gives up when half of all entries are candidates
  /// (ties).
  CandidateSet(const ResidualTensor& tensor, uint32_t low, bool keep_non_finite, RunControl& control);

  /// Counts the candidates into a pass of a selection whose window starts at `low` or above.
  void Count(Selection& selection, RunControl& control) const;
  const std::vector<Block>& blocks() const { return blocks_; }
  /// False when it gave up: then it holds nothing useful.
  bool complete() const { return complete_; }

 private:
  /// Memory that is only given back as a whole.
  class Arena {
   public:
    uint8_t* Take(size_t bytes);

   private:
    std::vector<std::unique_ptr<uint8_t[]>> chunks_;
    uint8_t* at_ = nullptr;
    size_t left_ = 0;
  };

  Dtype dtype_;
  bool complete_ = true;
  std::vector<Block> blocks_;
  std::vector<Arena> arenas_;  // one a worker
};

}  // namespace taskfold
