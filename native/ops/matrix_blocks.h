#pragma once
#include <cstddef>
#include <optional>
#include <string>

#include "core/region.h"
#include "core/run_control.h"
#include "ops/scratch.h"

namespace taskfold {

/// A dense matrix [rows × columns], row-major, or the difference of two, subtracted in f32; read in blocks of
/// rows and never held as a whole.
struct MatrixSource {
  std::string name;
  size_t rows = 0;
  size_t columns = 0;
  Operand matrix;
  std::optional<Operand> minus;
  /// A power of two that every element is multiplied with, so that products in f32 keep their range.
  float scale = 1;
};

/// Rows [first, first + rows) as f32 [rows × columns], in the scratch slot `slot`; slots slot + 1 and slot +
/// 2 are used as well. Adds Σ x² before scaling to *squared_norm when that is given. NON_FINITE names operand
/// "matrix" or "minus" and the index; a difference that overflows is the matrix's fault.
const float* ReadRows(const MatrixSource& source, size_t first, size_t rows, double* squared_norm,
                      Scratch& scratch, size_t slot, RunControl& control);

/// How a matrix is cut, by its shape and the sketch's columns alone: consecutive blocks of rows form a group,
/// which adds up its own part of a result in order; the groups' parts are then added in order.
struct RowPartition {
  RowPartition(size_t rows, size_t columns, size_t sketch_columns);
  size_t FirstBlock(size_t group) const { return blocks * group / groups; }
  size_t block_rows, blocks, groups;
};

}  // namespace taskfold
