#include "linalg/blas.h"

#ifdef __APPLE__
#include <Accelerate/Accelerate.h>
#else
#include <cblas.h>
#endif

#include "linalg/extent.h"

namespace taskfold::linalg {
namespace {

CBLAS_TRANSPOSE Op(bool transposed) { return transposed ? CblasTrans : CblasNoTrans; }

void Solve(CBLAS_SIDE side, bool transposed, size_t rows, size_t columns, const double* r, size_t k,
           double* x, size_t stride) {
  if (rows == 0 || columns == 0) return;
  cblas_dtrsm(CblasRowMajor, side, CblasUpper, Op(transposed), CblasNonUnit, Extent(rows), Extent(columns),
              1.0, r, Stride(k), x, Stride(stride));
}

}  // namespace

void Gemm(size_t m, size_t n, size_t k, float alpha, Factor<float> a, Factor<float> b, float beta, float* c,
          size_t stride) {
  if (m == 0 || n == 0) return;
  cblas_sgemm(CblasRowMajor, Op(a.transposed), Op(b.transposed), Extent(m), Extent(n), Extent(k), alpha,
              a.data, Stride(a.stride), b.data, Stride(b.stride), beta, c, Stride(stride));
}

void Gemm(size_t m, size_t n, size_t k, double alpha, Factor<double> a, Factor<double> b, double beta,
          double* c, size_t stride) {
  if (m == 0 || n == 0) return;
  cblas_dgemm(CblasRowMajor, Op(a.transposed), Op(b.transposed), Extent(m), Extent(n), Extent(k), alpha,
              a.data, Stride(a.stride), b.data, Stride(b.stride), beta, c, Stride(stride));
}

void Gram(size_t n, size_t k, Factor<double> a, double beta, double* g) {
  if (k == 0) return;
  cblas_dsyrk(CblasRowMajor, CblasUpper, Op(!a.transposed), Extent(k), Extent(n), 1.0, a.data,
              Stride(a.stride), beta, g, Stride(k));
}

void DivideByUpper(size_t n, size_t k, const double* r, double* x, size_t stride) {
  Solve(CblasRight, false, n, k, r, k, x, stride);
}

void SolveUpper(size_t k, size_t n, const double* r, double* x, size_t stride) {
  Solve(CblasLeft, false, k, n, r, k, x, stride);
}

void SolveUpperTransposed(size_t k, size_t n, const double* r, double* x, size_t stride) {
  Solve(CblasLeft, true, k, n, r, k, x, stride);
}

}  // namespace taskfold::linalg
