#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/run_control.h"
#include "ops/selection.h"

namespace taskfold {

/// One tensor of one task: where its residual is.
struct EmitTensor {
  std::string name;
  uint64_t elements = 0;
  Dtype dtype = Dtype::kF32;
  Operand task;
  Region merged;
};

class CandidateSpill;

enum class IndexCode { kU16, kBitmap, kRice, kAll, kAuto };
/// What a stored delta's values are; kAuto only for emitting: coded where that saves more than 10 %.
enum class ValueCode { kPlain, kCoded, kSign, kInt4, kAuto };

struct EmitOptions {
  Threshold threshold;
  IndexCode index = IndexCode::kAuto;
  bool keep_non_finite = false;
  /// kSign and kInt4 store residuals, the others θt's own items.
  ValueCode values = ValueCode::kPlain;
  /// What the merging pass has set aside, and the task's place in it; null: everything is read again.
  const CandidateSpill* spill = nullptr;
  size_t spill_task = 0;
};

/// A range of the output file.
struct StoredArray {
  uint64_t offset = 0, length = 0;
};

/// Where one tensor's delta landed (docs/FORMAT.md, "Delta files"); kept 0: nothing was written.
struct EmittedTensor {
  uint64_t kept = 0;
  IndexCode index = IndexCode::kU16;
  uint64_t block_count = 0;
  StoredArray value, index_bytes, blocks;
  ValueCode values = ValueCode::kPlain;
  /// Of kSign.
  float scale = 0;
  /// Of kInt4.
  StoredArray scales;
};

struct EmitResult {
  std::vector<EmittedTensor> tensors;
  uint64_t offset = 0;
  uint64_t ties = 0;
};

/// Writes the kept entries of tensor after tensor to `out` from `offset` on: values, positions, block starts,
/// scales. Ties at the threshold go to the lowest positions of the earliest tensors. Same bytes for any
/// thread count.
EmitResult EmitDelta(const std::vector<EmitTensor>& tensors, const EmitOptions& options,
                     const std::shared_ptr<File>& out, uint64_t offset, RunControl& control);

}  // namespace taskfold
