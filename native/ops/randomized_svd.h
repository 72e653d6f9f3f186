#pragma once
#include <optional>
#include <vector>

#include "core/run_control.h"
#include "ops/factor_writer.h"
#include "ops/matrix_blocks.h"

namespace taskfold {

struct RandomizedSvdJob {
  MatrixSource source;
  size_t rank = 0;               ///< 1 … min(rows, columns)
  std::optional<double> energy;  ///< in (0, 1): share of ‖D‖² after which components are left out
  size_t oversample = 0;
  size_t power_iterations = 0;
  uint64_t seed = 0;
  SvdSplit split = SvdSplit::kSqrt;
  Operand out_b;  ///< room for [rows × rank]
  Operand out_a;  ///< room for [rank × columns]
};

struct RandomizedSvdResult {
  size_t kept = 0;
  std::vector<double> values;  ///< [rank], descending
  double squared_norm = 0;
};

/// The leading singular values and vectors of a dense matrix or difference D: a sketch D·Ω, power iterations
/// with orthonormal bases in between, and the decomposition of D projected on the basis found (Halko,
/// Martinsson, Tropp, "Finding structure with randomness", 2011, algorithms 4.4 and 5.1). Where the sketch
/// would be as wide as the matrix, its QR decomposition takes the place of all that and the result is exact.
/// Memory: a few sketches, (rows + columns) × (rank + oversample), never the matrix.
//
/// The same seed gives the same bits for any number of threads. Errors as MatrixSource and FactorTarget say.
RandomizedSvdResult RandomizedSvd(const RandomizedSvdJob& job, RunControl& control);

}  // namespace taskfold
