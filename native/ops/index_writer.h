#pragma once
#include <vector>

#include "ops/delta_writer.h"
#include "ops/rice_index.h"

namespace taskfold {

/// Marks of one tensor as an index, in two steps: the code is known before anything is written.
class IndexWriter {
 public:
  /// starts.back() > 0. INVALID_ARGUMENT for kAll when something is not kept.
  IndexWriter(const EmitTensor& tensor, IndexCode wanted, const MarkStore& marks,
              const std::vector<uint64_t>& starts, RunControl& control);
  /// Of kAuto the smallest code; of equals the first of kU16, kBitmap, kRice. kAll whenever it is possible.
  IndexCode code() const { return code_; }
  /// Not for kAll.
  StoredArray Write(ArrayWriter& writer, Scratch& scratch);

 private:
  /// Calls each(first, count) for runs of blocks that are worked on together.
  template <class F>
  void ForEachGroup(const F& each);
  void ChooseParameters();
  /// Gaps of a block's marks; returns how many.
  size_t Gaps(uint64_t block, uint16_t* gaps) const;
  size_t ElementsOf(uint64_t block) const;
  void WriteBitmap(uint64_t first, size_t count, ArrayWriter& writer);
  void WritePositions(uint64_t first, size_t count, ArrayWriter& writer, Scratch& scratch);
  void WriteRiceStreams(uint64_t first, size_t count, ArrayWriter& writer, Scratch& scratch);

  uint64_t elements_;
  IndexCode code_;
  const MarkStore& marks_;
  const std::vector<uint64_t>& starts_;
  RunControl& control_;
  std::vector<RiceChoice> rice_;        // [blocks]
  std::vector<uint64_t> rice_offsets_;  // [blocks + 1]
};

}  // namespace taskfold
