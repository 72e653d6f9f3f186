#pragma once
#include <cstddef>
#include <string>

#include "core/region.h"
#include "core/run_control.h"
#include "ops/scratch.h"

namespace taskfold {

/// What singular values go into. kSqrt: B = U·√Σ and A = √Σ·Vᵀ. kNone: B = U and A = Vᵀ.
enum class SvdSplit { kSqrt, kNone };

/// What a component of this singular value is multiplied with on either side.
double SplitScale(SvdSplit split, double singular_value);

/// Where a matrix goes, and its names in an error.
struct FactorTarget {
  const std::string& tensor;
  const char* operand;
  const Operand& out;
};

/// Stores rows [first_row, first_row + rows) of a matrix [… × columns] at the front of the target, rounded to
/// f32 and then to its dtype. `values`: row-major, `stride` elements from row to row. NON_FINITE when one is
/// too large for the dtype.
void WriteFactorRows(const FactorTarget& target, size_t first_row, size_t rows, size_t columns,
                     const double* values, size_t stride, Scratch& scratch, size_t slot);

}  // namespace taskfold
