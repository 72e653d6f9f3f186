#pragma once
#include <cstddef>
#include <vector>

// Factorizations in f64 on the calling thread. LAPACK reads memory column by column, so a row-major matrix is
// to it the transposed one. Nothing is copied for that: where a row-major factor is wanted, the matching
// factorization of the transpose is called, as each function says. Inputs must be finite (callers check);
// a failure that finite numbers cannot cause is an INTERNAL error.

namespace taskfold::linalg {

/// G = RᵀR of a symmetric positive definite G [n × n], row-major, of which the upper triangle is read and
/// becomes R; the strict lower triangle becomes zeros. False when G is not positive definite.
//  (To LAPACK, the row-major upper triangle is the lower one of G = LLᵀ, and L = Rᵀ.)
bool Cholesky(size_t n, double* g);

/// Estimate of 1/cond of an upper triangular R [n × n], row-major, in the maximum norm. 1 when n is 0.
double ReciprocalCondition(size_t n, const double* r);

/// Thin QR of a tall or wide S [n × k] whose columns are contiguous: element (i, j) is s[j · n + i], what
/// LAPACK calls column-major and C the row-major transpose. With p = min(n, k), Q [n × p] replaces the first
/// p columns, and R [p × k], row-major, is returned.
std::vector<double> HouseholderQr(size_t n, size_t k, double* s);

/// Thin singular value decomposition A = U · diag(values) · Vᵀ with p = min(rows, columns), all row-major.
struct Svd {
  std::vector<double> u;       ///< [rows × p]
  std::vector<double> values;  ///< [p], descending
  std::vector<double> vt;      ///< [p × columns]
};

/// A [rows × columns], row-major, is destroyed. Divide and conquer; QR iteration where that does not
/// converge.
//  (LAPACK decomposes Aᵀ = VΣUᵀ: its left factor, column-major, is Vᵀ row-major.)
Svd SmallSvd(size_t rows, size_t columns, double* a);

/// The singular values only, [min(rows, columns)], descending; A is destroyed.
std::vector<double> SingularValues(size_t rows, size_t columns, double* a);

}  // namespace taskfold::linalg
