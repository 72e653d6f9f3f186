#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/run_control.h"
#include "ops/scratch.h"

namespace taskfold {

/// One low-rank product s·B·A: B [rows × rank], A [rank × columns], row-major.
struct LowRankProduct {
  Operand b;
  Operand a;
  size_t rank = 0;
  double scale = 1;
};

/// SIZE_OVERFLOW when an extent is too large for BLAS.
void CheckExtents(const std::string& tensor, uint64_t rows, uint64_t columns);

/// INVALID_ARGUMENT unless the factors' lengths fit the extents, which are checked already.
void CheckProduct(const std::string& tensor, uint64_t rows, uint64_t columns, const LowRankProduct& product);

/// Columns of all factors side by side: Σ rank.
size_t TotalRank(const std::vector<LowRankProduct>& products);

/// One side of a sum of products, S [extent × rank] in f64: the scaled B's side by side, or the Aᵀ's. Columns
/// are contiguous, so that S is at once LAPACK's column-major and, read as [rank × extent], an A as stored.
class ProductSide {
 public:
  enum class Which { kB, kA };

  /// Reads and widens the factors. NON_FINITE names operand "b" or "a" and the place in its factor.
  void Read(const std::string& tensor, const std::vector<LowRankProduct>& products, Which which,
            size_t extent, Scratch& scratch, RunControl& control);

  /// S = Q·R. As a rule Q is never formed: R comes from the Gram matrix by Cholesky. Where the columns are
  /// too nearly dependent for that (or more than rows), Householder's reflections give Q as well.
  void Orthogonalize();
  /// Takes R [rank × rank], which somebody else made from the Gram matrix; rank ≤ extent. False, with nothing
  /// changed, when the columns are too nearly dependent for it to be accurate.
  bool AdoptUpper(const double* r);

  /// Rows of R: min(extent, rank).
  size_t core_rank() const { return core_rank_; }
  /// R [core_rank × rank], row-major.
  const std::vector<double>& r() const { return r_; }
  size_t extent() const { return extent_; }
  size_t rank() const { return rank_; }

  /// m [core_rank × k], row-major, becomes what S's own columns must be multiplied with to give Q·m.
  void ToOwnColumns(size_t k, double* m) const;
  /// S or Q, as [columns × extent] row-major, to multiply with what ToOwnColumns left.
  const double* columns() const { return s_.get(); }

 private:
  bool ByCholesky();

  size_t extent_ = 0, rank_ = 0, core_rank_ = 0;
  bool explicit_q_ = false;
  /// Not a vector, whose zeros would be one more pass over the largest memory there is.
  std::unique_ptr<double[]> s_;
  std::vector<double> r_;
};

}  // namespace taskfold
