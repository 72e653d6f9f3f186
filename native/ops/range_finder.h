#pragma once
#include <vector>

#include "core/run_control.h"
#include "ops/matrix_blocks.h"

namespace taskfold {

/// D ≈ left · core · rightᵀ with orthonormal left [rows × k] and right [columns × k], columns contiguous
/// ([k × rows] and [k × columns] row-major; empty: the identity), and core [k × k], row-major.
struct Projection {
  size_t k = 0;
  std::vector<double> left, core, right;
  /// ‖D‖², and what D was multiplied with beforehand.
  double squared_norm = 0;
  float scale = 1;
};

struct SketchOptions {
  size_t rank = 0;     ///< components that matter
  size_t columns = 0;  ///< of the sketch: rank + oversample, below min(rows, columns)
  size_t power_iterations = 0;
  uint64_t seed = 0;
};

/// Projects a matrix on the range of (D·Dᵀ)^q·D·Ω, on a GPU of control.devices() where that can hold the
/// sketches.
Projection FindRange(MatrixSource source, const SketchOptions& options, RunControl& control);

/// D itself, by a QR decomposition in f64 of the taller of D and Dᵀ: k = min(rows, columns).
Projection WholeRange(const MatrixSource& source, RunControl& control);

}  // namespace taskfold
