#include "ops/device_orthonormalize.h"

#include "linalg/blas.h"
#include "linalg/lapack.h"
#include "ops/orthonormalize.h"

namespace taskfold {
namespace {

// A scaled pivot is the square of what is left of a unit column; below this f64 has lost what it was.
constexpr double kLeastPivot = 1e-14;

/// R of S's Gram matrix, also at columns.r; empty when the columns are too nearly dependent.
std::vector<double> UpperOf(Lane& lane, const tf_cuda_columns_batch& batch) {
  const tf_cuda_columns& one = batch.matrices[0];
  lane.Launch("multiplying columns", lane.cuda().gram, batch);
  lane.Launch("factoring", lane.cuda().cholesky, batch);
  std::vector<double> r(static_cast<size_t>(one.k) * one.k);
  uint32_t status = 0;
  lane.Download(&status, batch.status, sizeof status);
  lane.Download(r.data(), one.r, r.size() * sizeof(double));
  if (status != 0 || !IsWellConditioned(one.k, r, kLeastSketchCondition)) return {};
  return r;
}

std::vector<double> OnHost(Lane& lane, const DeviceColumns& columns) {
  std::vector<double> s(columns.n * columns.k);
  lane.Download(s.data(), columns.s, s.size() * sizeof(double));
  std::vector<double> r = linalg::HouseholderQr(columns.n, columns.k, s.data());
  lane.Upload(columns.s, s.data(), s.size() * sizeof(double));
  const std::vector<float> narrow(s.begin(), s.end());
  lane.Upload(columns.narrow, narrow.data(), narrow.size() * sizeof(float));
  return r;
}

}  // namespace

std::vector<double> Orthonormalize(Lane& lane, const DeviceColumns& columns, double* r, uint32_t* status,
                                   RunControl& control) {
  const size_t k = columns.k;
  const tf_cuda_columns one{columns.s, r, columns.narrow, columns.n, static_cast<uint32_t>(k), 0};
  const tf_cuda_columns_batch batch{&one, 1, 0, kLeastPivot, status};
  control.ThrowIfCancelled();
  const std::vector<double> first = UpperOf(lane, batch);
  if (first.empty()) return OnHost(lane, columns);
  lane.Launch("dividing columns", lane.cuda().solve, batch);
  std::vector<double> second = UpperOf(lane, batch);
  if (second.empty()) {
    // Cannot happen after a well-conditioned first step; S is still first's quotient.
    second = OnHost(lane, columns);
  } else {
    lane.Launch("dividing columns", lane.cuda().solve, batch);
  }
  std::vector<double> product(k * k);
  linalg::Gemm(k, k, k, 1.0, {second.data(), k}, {first.data(), k}, 0.0, product.data(), k);
  return product;
}

}  // namespace taskfold
