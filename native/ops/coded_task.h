#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/run_control.h"
#include "ops/remainder.h"

namespace taskfold {

/// One coded tensor, in the order of docs/FORMAT.md, "Stream codecs".
struct CodedTensor {
  std::string name;
  Dtype dtype = Dtype::kF32;
  /// Of the coded part: `rows` × `columns` elements; a vector has one row.
  uint64_t rows = 1, columns = 0;
  uint64_t elements() const { return rows * columns; }
};

/// The three stored arrays, padding behind them allowed.
struct CodedArrays {
  Region tables, directory, codes;
};

/// A task whose remainder is one stream for the whole model (codec step): tables and directory are
/// read and checked when it is opened, codes when a tensor is asked for. Shared by jobs, immutable.
class CodedTask {
 public:
  virtual ~CodedTask() = default;
  virtual const std::vector<CodedTensor>& tensors() const = 0;
  /// The remainder of tensor `index`; lives no longer than this. May read and decode what all blocks of the
  /// tensor need.
  virtual std::unique_ptr<Remainder> Open(size_t index) const = 0;
};

/// PACK_INVALID when directory or tables contradict the format. `step` is Δ.
std::shared_ptr<const CodedTask> OpenStepTask(float step, std::vector<CodedTensor> tensors,
                                              const CodedArrays& arrays);

}  // namespace taskfold
