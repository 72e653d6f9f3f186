#pragma once
#include <cstdint>
#include <vector>

#include "ops/coded_task.h"

namespace taskfold {

/// A tensor with this many elements has blocks of its own; smaller ones share (docs/FORMAT.md, "step").
constexpr uint64_t kOwnBlocks = 32768;

/// What is cut or joined as a whole: one tensor in its own blocks (one segment each), or several small ones
/// in one block (one segment each).
struct StepUnit {
  size_t tensor;     ///< the first
  size_t tensors;    ///< how many
  uint64_t block;    ///< its first block
  uint64_t segment;  ///< its first segment
  bool joint() const { return tensors > 1; }
};

/// Where the blocks and segments of codec step lie. Memory ∝ tensors.
class StepLayout {
 public:
  /// Tensors have at least one element.
  explicit StepLayout(const std::vector<CodedTensor>& tensors);
  const std::vector<StepUnit>& units() const { return units_; }
  uint64_t blocks() const { return blocks_; }
  uint64_t segments() const { return segments_; }
  const StepUnit& UnitOfTensor(size_t tensor) const;
  /// Blocks of a unit.
  uint64_t Blocks(const StepUnit& unit) const;

 private:
  std::vector<StepUnit> units_;
  uint64_t blocks_ = 0, segments_ = 0;
};

}  // namespace taskfold
