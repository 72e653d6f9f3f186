#include "ops/randomized_svd.h"

#include <algorithm>
#include <cmath>

#include "linalg/blas.h"
#include "linalg/extent.h"
#include "linalg/lapack.h"
#include "ops/operand_reader.h"
#include "ops/product_side.h"
#include "ops/range_finder.h"

namespace taskfold {
namespace {

void CheckJob(const RandomizedSvdJob& job) {
  const MatrixSource& source = job.source;
  CheckExtents(source.name, source.rows, source.columns);
  const uint64_t elements = static_cast<uint64_t>(source.rows) * source.columns;
  CheckOperandLength(source.name, "matrix", source.matrix.region, elements, source.matrix.dtype);
  if (source.minus)
    CheckOperandLength(source.name, "minus", source.minus->region, elements, source.minus->dtype);
  if (job.rank < 1 || job.rank > std::min(source.rows, source.columns)) {
    throw Error("INVALID_ARGUMENT", source.name + ": rank " + std::to_string(job.rank) + " of a " +
                                        std::to_string(source.rows) + " × " + std::to_string(source.columns) +
                                        " matrix")
        .Tensor(source.name);
  }
  CheckOperandLength(source.name, "outB", job.out_b.region, source.rows * job.rank, job.out_b.dtype);
  CheckOperandLength(source.name, "outA", job.out_a.region, job.rank * source.columns, job.out_a.dtype);
  CheckWritable(source.name, "outB", job.out_b.region.file().get());
  CheckWritable(source.name, "outA", job.out_a.region.file().get());
}

/// Fewest components that hold the wanted share of ‖D‖², at least 1 and at most rank.
size_t KeptByEnergy(const RandomizedSvdJob& job, const RandomizedSvdResult& result) {
  if (!job.energy) return job.rank;
  double sum = 0;
  for (size_t k = 0; k < job.rank; k++) {
    sum += result.values[k] * result.values[k];
    if (sum >= *job.energy * result.squared_norm) return k + 1;
  }
  return job.rank;
}

/// U·f(Σ) [rows × kept], row-major; f(Σ)·Vᵀ [kept × columns].
struct Factors {
  std::vector<double> u, vt;
};

Factors ScaledFactors(const RandomizedSvdJob& job, const Projection& projection, linalg::Svd& core,
                      const RandomizedSvdResult& result) {
  const size_t rows = job.source.rows, columns = job.source.columns, k = projection.k, kept = result.kept;
  for (size_t j = 0; j < kept; j++) {
    const double factor = SplitScale(job.split, result.values[j]);
    for (size_t i = 0; i < k; i++) {
      core.u[i * k + j] *= factor;
      core.vt[j * k + i] *= factor;
    }
  }
  Factors factors;
  factors.u.resize(rows * kept);
  if (projection.left.empty()) {
    for (size_t i = 0; i < rows; i++) std::copy_n(&core.u[i * k], kept, &factors.u[i * kept]);
  } else {
    linalg::Gemm(rows, kept, k, 1.0, {projection.left.data(), rows, true}, {core.u.data(), k}, 0.0,
                 factors.u.data(), kept);
  }
  if (projection.right.empty()) {
    factors.vt.assign(core.vt.begin(), core.vt.begin() + static_cast<ptrdiff_t>(kept * columns));
  } else {
    factors.vt.resize(kept * columns);
    linalg::Gemm(kept, columns, k, 1.0, {core.vt.data(), k}, {projection.right.data(), columns}, 0.0,
                 factors.vt.data(), columns);
  }
  return factors;
}

/// A singular vector's sign is free: here the first entry of largest magnitude of each left one is positive.
void NormalizeFactorSigns(size_t rows, size_t kept, size_t columns, Factors& factors) {
  std::vector<double> largest(kept);
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < kept; j++) {
      const double x = factors.u[i * kept + j];
      if (std::fabs(x) > std::fabs(largest[j])) largest[j] = x;
    }
  }
  for (size_t j = 0; j < kept; j++) {
    if (largest[j] >= 0) continue;
    for (size_t i = 0; i < rows; i++) factors.u[i * kept + j] = -factors.u[i * kept + j];
    for (size_t i = 0; i < columns; i++) factors.vt[j * columns + i] = -factors.vt[j * columns + i];
  }
}

}  // namespace

RandomizedSvdResult RandomizedSvd(const RandomizedSvdJob& job, RunControl& control) {
  control.ThrowIfCancelled();
  CheckJob(job);
  const size_t rows = job.source.rows, columns = job.source.columns, least = std::min(rows, columns);
  RandomizedSvdResult result;
  NamingTensor(job.source.name, [&] {
    const SketchOptions options{job.rank, std::min(least, job.rank + job.oversample), job.power_iterations,
                                job.seed};
    Projection projection =
        options.columns == least ? WholeRange(job.source, control) : FindRange(job.source, options, control);
    control.ThrowIfCancelled();
    linalg::Svd core = linalg::SmallSvd(projection.k, projection.k, projection.core.data());
    result.squared_norm = projection.squared_norm;
    for (size_t i = 0; i < job.rank; i++) {
      result.values.push_back(core.values[i] / static_cast<double>(projection.scale));
    }
    result.kept = KeptByEnergy(job, result);
    Factors factors = ScaledFactors(job, projection, core, result);
    NormalizeFactorSigns(rows, result.kept, columns, factors);
    control.ThrowIfCancelled();
    Scratch scratch;
    WriteFactorRows({job.source.name, "outB", job.out_b}, 0, rows, result.kept, factors.u.data(), result.kept,
                    scratch, 0);
    WriteFactorRows({job.source.name, "outA", job.out_a}, 0, result.kept, columns, factors.vt.data(), columns,
                    scratch, 0);
  });
  return result;
}

}  // namespace taskfold
