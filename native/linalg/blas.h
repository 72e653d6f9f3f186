#pragma once
#include <cstddef>

// Matrix products, row-major, on the calling thread only: parallelism is the callers', whose partitions
// depend on shapes alone, so that results have the same bits for any number of threads.

namespace taskfold::linalg {

/// A row-major matrix as it enters a product. `stride`: elements from one row to the next, as stored.
template <class T>
struct Factor {
  const T* data;
  size_t stride;
  bool transposed = false;
};

/// c [m × n] = alpha · op(a) [m × k] · op(b) [k × n] + beta · c, row-major. beta 0: c is written, never read.
void Gemm(size_t m, size_t n, size_t k, float alpha, Factor<float> a, Factor<float> b, float beta, float* c,
          size_t stride);
void Gemm(size_t m, size_t n, size_t k, double alpha, Factor<double> a, Factor<double> b, double beta,
          double* c, size_t stride);

/// g [k × k] = beta · g + op(a)ᵀ · op(a) with op(a) [n × k], row-major; only the upper triangle of g is
/// written.
void Gram(size_t n, size_t k, Factor<double> a, double beta, double* g);

/// x [n × k] = x · R⁻¹ in place, R [k × k] upper triangular, row-major.
void DivideByUpper(size_t n, size_t k, const double* r, double* x, size_t stride);

/// x [k × n] = R⁻¹ · x in place, R [k × k] upper triangular, row-major.
void SolveUpper(size_t k, size_t n, const double* r, double* x, size_t stride);

/// x [k × n] = R⁻ᵀ · x in place, R [k × k] upper triangular, row-major.
void SolveUpperTransposed(size_t k, size_t n, const double* r, double* x, size_t stride);

}  // namespace taskfold::linalg
