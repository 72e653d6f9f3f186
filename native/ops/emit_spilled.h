#pragma once
#include <vector>

#include "ops/block_marks.h"
#include "ops/candidate_spill.h"
#include "ops/delta_writer.h"
#include "ops/emit_delta.h"

namespace taskfold {

/// Marks a tensor and writes its values from what the merging pass has set aside, without the inputs.
class SpillEmitter {
 public:
  explicit SpillEmitter(unsigned threads)
      : group_(BlocksPerGroup(threads)), units_(group_), scratch_(group_) {}

  /// As CpuEmitter: one start a block goes to `starts`, dense marks to `marks`. `source` has all pieces.
  void Emit(const CandidateSpill& spill, const CandidateSpill::Tensor& source, size_t task,
            const Threshold& threshold, uint64_t* ties, ValueStore& kept_values, MarkStore& marks,
            std::vector<uint64_t>& starts, RunControl& control);

 private:
  /// One piece while its group is worked on.
  struct Unit {
    size_t elements = 0;
    uint64_t below = 0, equal = 0;  // doubtful ones below the threshold, and at it
    uint64_t ties = 0;              // of the equal ones, the first that are kept
    uint8_t* raw = nullptr;         // as it lies in the spill
  };
  size_t group_;
  std::vector<Unit> units_;
  std::vector<Scratch> scratch_;
  Scratch gathered_;
};

}  // namespace taskfold
