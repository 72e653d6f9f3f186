#include "ops/product_side.h"

#include "backend/registry.h"
#include "linalg/blas.h"
#include "linalg/extent.h"
#include "linalg/lapack.h"
#include "ops/operand_reader.h"
#include "ops/orthonormalize.h"
#include "ops/require_finite.h"

namespace taskfold {
namespace {

// Rows of B that are transposed at a time: their cache lines stay in the first-level cache.
constexpr size_t kTransposeRows = 128;
// A Gram matrix squares the condition number. Above this the relative error of R stays below 1e-8, less than
// the rounding of an f32 factor.
constexpr double kLeastReciprocalCondition = 1e-4;

void CheckExtent(const std::string& tensor, const char* what, uint64_t extent) {
  if (extent <= linalg::kMaxExtent) return;
  throw Error("SIZE_OVERFLOW", tensor + ": " + std::to_string(extent) + " " + what + ", more than 2^31 - 1")
      .Tensor(tensor);
}

/// Elements [first, first + n) of a factor as f32, checked.
const float* ReadChecked(const std::string& tensor, const char* name, const Operand& operand, uint64_t first,
                         size_t n, Scratch& scratch, RunControl& control) {
  control.ThrowIfCancelled();
  const float* wide = ReadAsFloat(ActiveBackend(), operand, first, n, scratch, 0);
  RequireFinite(tensor, name, wide, first, n);
  control.AddProgress(n * ItemSize(operand.dtype));
  return wide;
}

/// to[r · extent + row] = scale · from[row · rank + r] for all rows and r.
void TransposeScaled(const float* from, size_t rows, size_t rank, double scale, double* to, size_t extent) {
  for (size_t tile = 0; tile < rows; tile += kTransposeRows) {
    const size_t end = std::min(rows, tile + kTransposeRows);
    for (size_t r = 0; r < rank; r++) {
      for (size_t row = tile; row < end; row++) {
        to[r * extent + row] = scale * static_cast<double>(from[row * rank + r]);
      }
    }
  }
}

}  // namespace

void CheckExtents(const std::string& tensor, uint64_t rows, uint64_t columns) {
  CheckExtent(tensor, "rows", rows);
  CheckExtent(tensor, "columns", columns);
}

void CheckProduct(const std::string& tensor, uint64_t rows, uint64_t columns, const LowRankProduct& product) {
  CheckOperandLength(tensor, "b", product.b.region, rows * product.rank, product.b.dtype);
  CheckOperandLength(tensor, "a", product.a.region, product.rank * columns, product.a.dtype);
}

size_t TotalRank(const std::vector<LowRankProduct>& products) {
  size_t rank = 0;
  for (const LowRankProduct& product : products) rank += product.rank;
  return rank;
}

void ProductSide::Read(const std::string& tensor, const std::vector<LowRankProduct>& products, Which which,
                       size_t extent, Scratch& scratch, RunControl& control) {
  extent_ = extent;
  rank_ = TotalRank(products);
  s_ = std::make_unique_for_overwrite<double[]>(extent * rank_);
  double* to = s_.get();
  for (const LowRankProduct& product : products) {
    if (product.rank == 0 || extent == 0) continue;
    const size_t total = product.rank * extent;
    if (which == Which::kA) {
      for (size_t first = 0; first < total; first += TF_MAX_PIECE) {
        const size_t n = std::min<size_t>(TF_MAX_PIECE, total - first);
        const float* wide = ReadChecked(tensor, "a", product.a, first, n, scratch, control);
        for (size_t i = 0; i < n; i++) to[first + i] = static_cast<double>(wide[i]);
      }
    } else {
      const size_t step = std::max<size_t>(1, TF_MAX_PIECE / product.rank);
      for (size_t row = 0; row < extent; row += step) {
        const size_t rows = std::min(step, extent - row);
        const float* wide =
            ReadChecked(tensor, "b", product.b, row * product.rank, rows * product.rank, scratch, control);
        TransposeScaled(wide, rows, product.rank, product.scale, to + row, extent);
      }
    }
    to += total;
  }
}

bool ProductSide::ByCholesky() {
  if (rank_ > extent_) return false;
  r_.assign(rank_ * rank_, 0);
  linalg::Gram(extent_, rank_, {s_.get(), extent_, true}, 0, r_.data());
  return UpperFromGram(rank_, kLeastReciprocalCondition, r_.data());
}

void ProductSide::Orthogonalize() {
  core_rank_ = std::min(extent_, rank_);
  explicit_q_ = !ByCholesky();
  if (explicit_q_) r_ = linalg::HouseholderQr(extent_, rank_, s_.get());
}

bool ProductSide::AdoptUpper(const double* r) {
  std::vector<double> upper(r, r + rank_ * rank_);
  if (!IsWellConditioned(rank_, upper, kLeastReciprocalCondition)) return false;
  r_ = std::move(upper);
  core_rank_ = rank_;
  explicit_q_ = false;
  return true;
}

void ProductSide::ToOwnColumns(size_t k, double* m) const {
  if (!explicit_q_) linalg::SolveUpper(rank_, k, r_.data(), m, k);
}

}  // namespace taskfold
