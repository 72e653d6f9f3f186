#pragma once
#include <vector>

#include "ops/delta_writer.h"

namespace taskfold {

/// What became of the values of one tensor.
struct WrittenValues {
  ValueCode code = ValueCode::kPlain;
  /// Of kSign.
  float scale = 0;
  /// Of kInt4: F16 bits, for the array that comes last.
  std::vector<uint16_t> scales;
};

/// Writes values that were held, coded as `wanted` says (kAuto: coded when that saves more than 10 %).
/// NON_FINITE for residuals that kSign and kInt4 can't hold.
WrittenValues WriteHeldValues(const EmitTensor& tensor, ValueCode wanted, const ValueStore& values,
                              const MarkStore& marks, const std::vector<uint64_t>& starts,
                              ArrayWriter& writer, RunControl& control);

}  // namespace taskfold
