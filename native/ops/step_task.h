#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "ops/coded_task.h"
#include "ops/step_layout.h"
#include "ops/step_stream.h"

namespace taskfold {

/// The decoded entries of a block that several tensors share.
struct StepJointBlock {
  std::vector<uint16_t> positions;  ///< inside their tensor
  std::vector<float> values;        ///< û
  std::vector<size_t> starts;       ///< [segments + 1]
};

/// The last joint blocks that were asked for, because each of their tensors needs the whole stream decoded.
class StepJointCache {
 public:
  std::shared_ptr<const StepJointBlock> Find(uint64_t block);
  void Keep(uint64_t block, std::shared_ptr<const StepJointBlock> decoded);

 private:
  /// At most 400 KiB each.
  static constexpr size_t kPlaces = 16;
  struct Place {
    uint64_t block = ~uint64_t{0};
    std::shared_ptr<const StepJointBlock> decoded;
  };
  std::mutex mutex_;
  Place places_[kPlaces];
  size_t next_ = 0;
};

/// A stream of codec step. Memory ∝ blocks.
class StepTask final : public CodedTask {
 public:
  StepTask(float step, std::vector<CodedTensor> tensors, const CodedArrays& arrays);
  const std::vector<CodedTensor>& tensors() const override { return tensors_; }
  std::unique_ptr<Remainder> Open(size_t index) const override;

  /// Decodes a block of a tensor that shares it with no other: positions and û to scratch slots slot + 1 and
  /// slot + 2. Returns how many.
  size_t DecodeOwn(size_t tensor, uint64_t block, size_t n, Scratch& scratch, size_t slot) const;
  /// The joint block of a unit, from the cache or decoded.
  std::shared_ptr<const StepJointBlock> Joint(const StepUnit& unit, Scratch& scratch, size_t slot) const;
  const StepLayout& layout() const { return layout_; }

 private:
  void ReadTables(const Region& tables);
  void ReadDirectory(const CodedArrays& arrays);
  /// The stream of a block that has entries, in scratch.
  StepReader ReadStream(uint64_t block, Scratch& scratch, size_t slot) const;
  size_t SegmentElements(const StepUnit& unit, uint64_t segment) const;

  float step_;
  std::vector<CodedTensor> tensors_;
  StepLayout layout_;
  std::vector<StepSlots> pairs_;
  std::vector<uint32_t> entries_;  ///< [segments]
  std::vector<uint8_t> numbers_;   ///< [segments] of pairs
  std::vector<uint64_t> offsets_;  ///< [blocks + 1] in codes
  Region codes_;
  mutable StepJointCache cache_;
};

}  // namespace taskfold
