#pragma once
#include <cmath>
#include <cstddef>

#include "linalg/lapack.h"

namespace taskfold {

/// A singular vector's sign is free. Chosen here: the first of the entries of largest magnitude of each left
/// vector is positive. svd: of a [rows × columns] matrix.
inline void NormalizeSigns(size_t rows, size_t columns, linalg::Svd& svd) {
  const size_t p = svd.values.size();
  for (size_t j = 0; j < p; j++) {
    double largest = 0;
    for (size_t i = 0; i < rows; i++) {
      if (std::fabs(svd.u[i * p + j]) > std::fabs(largest)) largest = svd.u[i * p + j];
    }
    if (largest >= 0) continue;
    for (size_t i = 0; i < rows; i++) svd.u[i * p + j] = -svd.u[i * p + j];
    for (size_t i = 0; i < columns; i++) svd.vt[j * columns + i] = -svd.vt[j * columns + i];
  }
}

}  // namespace taskfold
