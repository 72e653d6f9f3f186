#pragma once
#include <cstdint>
#include <string>

#include "core/dtype.h"
#include "ops/non_finite.h"

namespace taskfold {

/// Elements of a residual, for errors.
struct ResidualPlace {
  const std::string* tensor;
  Dtype dtype;
  uint64_t first;           ///< element of the tensor
  size_t task = kOnlyTask;  ///< place in the job
};

/// u[i] = task[i] − merged[i] in f32. NON_FINITE at the first element where that is NaN or infinite.
void FiniteResidual(const ResidualPlace& place, size_t n, const void* task, const void* merged, float* u);

/// Σ x² in f64, in an order that depends on n only.
double SumOfSquares(const float* x, size_t n);
/// Σ |x|, the same way.
double SumOfMagnitudes(const float* x, size_t n);

}  // namespace taskfold
