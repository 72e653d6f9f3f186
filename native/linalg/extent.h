#pragma once
#include <cstddef>

namespace taskfold::linalg {

/// Most rows or columns of a matrix here: BLAS and LAPACK count with 32-bit integers.
constexpr size_t kMaxExtent = 0x7FFFFFFF;

/// A size as BLAS takes it. SIZE_OVERFLOW above kMaxExtent.
int Extent(size_t size);

/// The same for the distance between rows, which may not be 0 even in empty matrices.
int Stride(size_t stride);

}  // namespace taskfold::linalg
