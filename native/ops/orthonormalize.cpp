#include "ops/orthonormalize.h"

#include <cmath>
#include <limits>

#include "core/thread_pool.h"
#include "linalg/blas.h"
#include "linalg/lapack.h"

namespace taskfold {
namespace {

// Rows of a chunk: its columns stay in the second-level cache for usual numbers of them.
constexpr size_t kChunkRows = 2048;
// Partial Gram matrices are added in order; more of them would take more memory than S itself.
constexpr size_t kMaxChunks = 64;
// Squared column norms below lose digits to subnormal numbers.
constexpr double kLeastSquaredNorm = 1e-280;

struct Chunks {
  explicit Chunks(size_t n)
      : rows(std::max(kChunkRows, (n + kMaxChunks - 1) / kMaxChunks)), count((n + rows - 1) / rows) {}
  size_t Rows(size_t chunk, size_t n) const { return std::min(rows, n - chunk * rows); }
  size_t rows, count;
};

std::vector<double> ChunkedGram(size_t n, size_t k, const double* s, RunControl& control) {
  const Chunks chunks(n);
  std::vector<double> partial(chunks.count * k * k);
  ParallelFor(chunks.count, control.threads(), [&](size_t chunk, unsigned) {
    control.ThrowIfCancelled();
    linalg::Gram(chunks.Rows(chunk, n), k, {s + chunk * chunks.rows, n, true}, 0,
                 partial.data() + chunk * k * k);
  });
  for (size_t chunk = 1; chunk < chunks.count; chunk++) {
    for (size_t i = 0; i < k * k; i++) partial[i] += partial[chunk * k * k + i];
  }
  partial.resize(k * k);
  return partial;
}

/// One step: S = S·R⁻¹ with R of its Gram matrix. False, with S as it was, when that is ill-conditioned.
bool CholeskyStep(size_t n, size_t k, double* s, std::vector<double>* r, RunControl& control) {
  *r = ChunkedGram(n, k, s, control);
  if (!UpperFromGram(k, kLeastSketchCondition, r->data())) return false;
  const Chunks chunks(n);
  ParallelFor(chunks.count, control.threads(), [&](size_t chunk, unsigned) {
    linalg::SolveUpperTransposed(k, chunks.Rows(chunk, n), r->data(), s + chunk * chunks.rows, n);
  });
  return true;
}

}  // namespace

bool UpperFromGram(size_t k, double least, double* gram) {
  std::vector<double> norm(k);
  for (size_t i = 0; i < k; i++) {
    const double squared = gram[i * k + i];
    if (!(squared > kLeastSquaredNorm)) return false;
    norm[i] = std::sqrt(squared);
  }
  for (size_t i = 0; i < k; i++) {
    for (size_t j = i; j < k; j++) gram[i * k + j] /= norm[i] * norm[j];
  }
  if (!linalg::Cholesky(k, gram)) return false;
  if (!(linalg::ReciprocalCondition(k, gram) > least)) return false;
  for (size_t i = 0; i < k; i++) {
    for (size_t j = i; j < k; j++) gram[i * k + j] *= norm[j];
  }
  return true;
}

bool IsWellConditioned(size_t k, std::vector<double> r, double least) {
  for (size_t j = 0; j < k; j++) {
    double squared = 0;
    for (size_t i = 0; i <= j; i++) squared += r[i * k + j] * r[i * k + j];
    if (!(squared > 0 && squared <= std::numeric_limits<double>::max())) return false;
    const double norm = std::sqrt(squared);
    for (size_t i = 0; i <= j; i++) r[i * k + j] /= norm;
  }
  return linalg::ReciprocalCondition(k, r.data()) > least;
}

std::vector<double> Orthonormalize(size_t n, size_t k, double* s, RunControl& control) {
  std::vector<double> first, second;
  if (!CholeskyStep(n, k, s, &first, control)) return linalg::HouseholderQr(n, k, s);
  if (!CholeskyStep(n, k, s, &second, control)) {
    // Cannot happen after a well-conditioned first step; S is still first's quotient.
    second = linalg::HouseholderQr(n, k, s);
  }
  std::vector<double> r(k * k);
  linalg::Gemm(k, k, k, 1.0, {second.data(), k}, {first.data(), k}, 0.0, r.data(), k);
  return r;
}

}  // namespace taskfold
