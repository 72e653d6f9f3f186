#include "ops/range_finder.h"

#include <cmath>

#include "core/philox.h"
#include "core/thread_pool.h"
#include "linalg/lapack.h"
#include "ops/device_sketches.h"
#include "ops/orthonormalize.h"
#include "ops/sketches.h"

namespace taskfold {
namespace {

// Products of f32 keep their full precision while ‖D‖ is between the square roots of these.
constexpr double kLeastSquaredNorm = 1e-16, kMostSquaredNorm = 1e24;
// A fused pass squares the singular values. Where the squares are further apart than this (σ beyond 1 : 300),
// the small ones come near the rounding of the large in f32.
constexpr double kLeastFusedRatio = 1e-5;
// Below this share of ‖D‖² the error ‖D‖² − Σσ² would be mostly rounding, if σ came from products in f32.
constexpr double kLeastErrorShare = 1e-3;
constexpr size_t kTestRows = 4096;

/// Ω as [k × n] row-major: entry (j, i) is that of row i and column j, whatever n and k are.
std::vector<float> TestMatrix(size_t n, size_t k, uint64_t seed, RunControl& control) {
  std::vector<float> omega(k * n);
  ParallelFor((n + kTestRows - 1) / kTestRows, control.threads(), [&](size_t chunk, unsigned) {
    const size_t end = std::min(n, (chunk + 1) * kTestRows);
    for (size_t group = 0; 4 * group < k; group++) {
      for (size_t i = chunk * kTestRows; i < end; i++) {
        float entries[4];
        TestMatrixEntries(seed, i, static_cast<uint32_t>(group), entries);
        for (size_t j = 4 * group; j < std::min(k, 4 * group + 4); j++) omega[j * n + i] = entries[j % 4];
      }
    }
  });
  return omega;
}

/// Smallest diagonal entry of R over the largest, roughly the ratio of the singular values; 1 for a zero R.
double DiagonalRatio(size_t k, const std::vector<double>& r) {
  double least = INFINITY, most = 0;
  for (size_t i = 0; i < k; i++) {
    least = std::min(least, std::fabs(r[i * k + i]));
    most = std::max(most, std::fabs(r[i * k + i]));
  }
  return most == 0 ? 1 : least / most;
}

/// A power of two that brings a norm near 1, as far as f32 has it.
float ScaleFor(double squared_norm) {
  if (squared_norm == 0 || (squared_norm > kLeastSquaredNorm && squared_norm < kMostSquaredNorm)) return 1;
  const int exponent = -std::ilogb(std::sqrt(squared_norm));
  return std::ldexp(1.0f, std::min(126, std::max(-148, exponent)));
}

/// X becomes an orthonormal basis of the range of (DᵀD)^q·Ω, or Ω itself without iterations. False: D's scale
/// must change first.
bool PowerIterations(Sketches& sketches, const std::vector<float>& omega, const MatrixSource& source,
                     const SketchOptions& options) {
  bool fused = true;
  sketches.Start(omega);
  for (size_t iteration = 0; iteration < options.power_iterations;) {
    if (fused) {
      sketches.Fused();
      if (ScaleFor(sketches.squared_norm()) != 1 && source.scale == 1) return false;
      fused = DiagonalRatio(options.columns, sketches.OrthonormalizeZ()) >= kLeastFusedRatio;
      // Too steep a decay: what this pass found is a start, and does not count.
      if (fused) iteration++;
    } else {
      sketches.Forward();
      sketches.OrthonormalizeY();
      sketches.Backward(false);
      sketches.OrthonormalizeZ();
      iteration++;
    }
    sketches.Continue();
  }
  return true;
}

/// R's transpose [k × k].
std::vector<double> Transposed(size_t k, const std::vector<double>& r) {
  std::vector<double> t(k * k);
  for (size_t i = 0; i < k; i++) {
    for (size_t j = 0; j < k; j++) t[j * k + i] = r[i * k + j];
  }
  return t;
}

/// Is ‖D‖² − Σσ² of the leading components below kLeastErrorShare · ‖D‖²?
bool ErrorNeedsPrecision(const Projection& projection, size_t rank) {
  const auto scale = static_cast<double>(projection.scale);  // σ are those of the scaled D
  const double most = (1 - kLeastErrorShare) * projection.squared_norm * scale * scale;
  const auto squares = [](const double* values, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += values[i] * values[i];
    return sum;
  };
  // All components of the core together say no, as a rule.
  if (most == 0 || squares(projection.core.data(), projection.core.size()) <= most) return false;
  std::vector<double> core = projection.core;
  const std::vector<double> values = linalg::SingularValues(projection.k, projection.k, core.data());
  return squares(values.data(), rank) > most;
}

/// From Z = DᵀQ: right and core.
void SetRight(Projection& projection, Sketches& sketches) {
  projection.core = Transposed(projection.k, sketches.OrthonormalizeZ());
  projection.right = sketches.TakeZ();
}

}  // namespace

Projection FindRange(MatrixSource source, const SketchOptions& options, RunControl& control) {
  const size_t k = options.columns;
  std::unique_ptr<Sketches> sketches = MakeDeviceSketches(source, k, control);
  if (!sketches) sketches = MakeHostSketches(source, k, control);
  const std::vector<float> omega = TestMatrix(source.columns, k, options.seed, control);
  Projection projection;
  projection.k = k;
  for (;;) {
    if (PowerIterations(*sketches, omega, source, options)) sketches->Forward();
    projection.squared_norm = sketches->squared_norm();
    const float scale = ScaleFor(projection.squared_norm);
    if (source.scale == scale) break;
    source.scale = scale;  // seen by the sketches: once more, within f32's range
  }
  projection.scale = source.scale;
  sketches->OrthonormalizeY();
  sketches->Backward(false);
  SetRight(projection, *sketches);
  if (ErrorNeedsPrecision(projection, options.rank)) {
    sketches->Backward(true);
    SetRight(projection, *sketches);
  }
  projection.left = sketches->TakeY();
  return projection;
}

Projection WholeRange(const MatrixSource& source, RunControl& control) {
  const bool tall = source.rows >= source.columns;
  const size_t k = tall ? source.columns : source.rows, n = tall ? source.rows : source.columns;
  Projection projection;
  projection.k = k;
  std::vector<double> basis(k * n);
  const RowPartition partition(source.rows, source.columns, 1);
  std::vector<double> norms(partition.blocks);
  ScratchPerWorker scratches(control.threads());
  ParallelFor(partition.blocks, control.threads(), [&](size_t b, unsigned worker) {
    const size_t first = b * partition.block_rows;
    const size_t rows = std::min(partition.block_rows, source.rows - first);
    const float* block = ReadRows(source, first, rows, &norms[b], scratches[worker], 0, control);
    for (size_t i = 0; i < rows; i++) {
      for (size_t j = 0; j < source.columns; j++) {
        basis[tall ? j * n + first + i : (first + i) * n + j] =
            static_cast<double>(block[i * source.columns + j]);
      }
    }
  });
  for (const double norm : norms) projection.squared_norm += norm;
  const std::vector<double> r = Orthonormalize(n, k, basis.data(), control);
  projection.core = tall ? r : Transposed(k, r);
  (tall ? projection.left : projection.right) = std::move(basis);
  return projection;
}

}  // namespace taskfold
