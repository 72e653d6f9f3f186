// native/linalg against its definitions: products, residuals and orthogonality on random shapes, and answers
// to what must fail. Under the sanitizers this also shows that the shapes given to BLAS and LAPACK are right.
#include <algorithm>
#include <cmath>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "linalg/blas.h"
#include "linalg/extent.h"
#include "linalg/lapack.h"

using namespace taskfold;
using Matrix = std::vector<double>;

namespace {

Matrix RandomMatrix(size_t n, Random& random) {
  Matrix values(n);
  for (double& x : values) x = (static_cast<double>(random.Below(2001)) - 1000) / 500;
  return values;
}

/// op(x)(i, j) of a row-major matrix.
template <class T>
double At(const T* x, size_t stride, bool transposed, size_t i, size_t j) {
  return static_cast<double>(transposed ? x[j * stride + i] : x[i * stride + j]);
}

Matrix Naive(size_t m, size_t n, size_t k, const Matrix& a, bool ta, const Matrix& b, bool tb) {
  Matrix c(m * n);
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < n; j++) {
      for (size_t p = 0; p < k; p++)
        c[i * n + j] += At(a.data(), ta ? m : k, ta, i, p) * At(b.data(), tb ? k : n, tb, p, j);
    }
  }
  return c;
}

double Distance(const Matrix& x, const Matrix& y) {
  CHECK(x.size() == y.size(), "%zu and %zu elements", x.size(), y.size());
  double most = 0;
  for (size_t i = 0; i < x.size(); i++) most = std::max(most, std::fabs(x[i] - y[i]));
  return most;
}

Matrix Identity(size_t n) {
  Matrix one(n * n);
  for (size_t i = 0; i < n; i++) one[i * n + i] = 1;
  return one;
}

template <class T>
void Products(size_t m, size_t n, size_t k, Random& random, double tolerance) {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const Matrix a = RandomMatrix(m * k, random), b = RandomMatrix(k * n, random);
      const std::vector<T> narrow_a(a.begin(), a.end()), narrow_b(b.begin(), b.end());
      std::vector<T> c(m * n, static_cast<T>(NAN));
      const auto gemm = [&](T beta) {
        linalg::Gemm(m, n, k, T{2}, {narrow_a.data(), ta ? m : k, ta}, {narrow_b.data(), tb ? k : n, tb},
                     beta, c.data(), n);
      };
      if (k == 0) std::fill(c.begin(), c.end(), T{0});
      gemm(0);
      gemm(1);
      Matrix expected = Naive(m, n, k, a, ta, b, tb);
      for (double& x : expected) x *= 4;
      CHECK(Distance(Matrix(c.begin(), c.end()), expected) <= tolerance, "%zu × %zu × %zu", m, n, k);
    }
  }
}

void CholeskyAndSolves(size_t n, size_t k, Random& random) {
  const Matrix a = RandomMatrix((n + k) * k, random);
  Matrix r(k * k);
  linalg::Gram(n + k, k, {a.data(), k}, 0, r.data());
  const Matrix full = Naive(k, k, n + k, a, true, a, false);
  for (size_t i = 0; i < k; i++) {
    for (size_t j = i; j < k; j++) CHECK(std::fabs(r[i * k + j] - full[i * k + j]) < 1e-10, "gram");
    for (size_t j = 0; j < i; j++) r[i * k + j] = NAN;  // must not be read
  }
  CHECK(linalg::Cholesky(k, r.data()), "positive definite");
  CHECK(Distance(Naive(k, k, k, r, true, r, false), full) < 1e-9, "RᵀR = G");
  const double condition = linalg::ReciprocalCondition(k, r.data());
  CHECK(condition > 0 && condition <= 1, "%g", condition);
  const Matrix x = RandomMatrix(n * k, random);
  Matrix y = Naive(n, k, k, x, false, r, false);
  linalg::DivideByUpper(n, k, r.data(), y.data(), k);
  CHECK(Distance(x, y) < 1e-6, "x·R·R⁻¹");
  y = Naive(k, n, k, r, false, x, true);
  linalg::SolveUpper(k, n, r.data(), y.data(), n);
  CHECK(Distance(y, Naive(k, n, k, Identity(k), false, x, true)) < 1e-6, "R⁻¹·R·x");
  y = Naive(k, n, k, r, true, x, true);
  linalg::SolveUpperTransposed(k, n, r.data(), y.data(), n);
  CHECK(Distance(y, Naive(k, n, k, Identity(k), false, x, true)) < 1e-6, "R⁻ᵀ·Rᵀ·x");
}

void Qr(size_t n, size_t k, bool dependent, Random& random) {
  Matrix s = RandomMatrix(n * k, random);  // column j at s[j · n]
  if (dependent && k > 1) std::copy_n(s.begin(), n, s.begin() + static_cast<ptrdiff_t>(n));
  const Matrix before = s;
  const Matrix r = linalg::HouseholderQr(n, k, s.data());
  const size_t p = std::min(n, k);
  s.resize(n * p);
  CHECK(Distance(Naive(p, p, n, s, false, s, true), Identity(p)) < 1e-12, "QᵀQ");
  // As [p × n] row-major s is Qᵀ: (QR)ᵀ = RᵀQᵀ.
  CHECK(Distance(Naive(k, n, p, r, true, s, false), before) < 1e-12 * static_cast<double>(k + 1), "QR");
  for (size_t i = 0; i < p; i++) {
    for (size_t j = 0; j < i; j++) CHECK(r[i * k + j] == 0, "R is upper triangular");
  }
}

void SingularValues(size_t m, size_t n, Random& random) {
  const Matrix a = RandomMatrix(m * n, random);
  Matrix work = a;
  const linalg::Svd svd = linalg::SmallSvd(m, n, work.data());
  const size_t p = std::min(m, n);
  CHECK(svd.values.size() == p, "values");
  Matrix scaled = svd.u;
  for (size_t i = 0; i < m * p; i++) scaled[i] *= svd.values[i % p];
  CHECK(Distance(Naive(m, n, p, scaled, false, svd.vt, false), a) < 1e-12 * static_cast<double>(p + 1),
        "USVᵀ");
  CHECK(Distance(Naive(p, p, m, svd.u, true, svd.u, false), Identity(p)) < 1e-12, "UᵀU");
  CHECK(Distance(Naive(p, p, n, svd.vt, false, svd.vt, true), Identity(p)) < 1e-12, "VᵀV");
  for (size_t i = 1; i < p; i++) CHECK(svd.values[i] <= svd.values[i - 1], "descending");
  work = a;
  CHECK(Distance(linalg::SingularValues(m, n, work.data()), svd.values) < 1e-12 * static_cast<double>(p + 1),
        "values alone");
}

void Failures() {
  Matrix g{1, 2, 2, 1};
  CHECK(!linalg::Cholesky(2, g.data()), "indefinite");
  g = {0, 0, 0, 0};
  CHECK(!linalg::Cholesky(2, g.data()), "zero");
  const Matrix r{1, 1, 0, 1e-9};
  CHECK(linalg::ReciprocalCondition(2, r.data()) < 1e-8, "ill-conditioned");
  Matrix nan(9, NAN);
  try {
    linalg::SmallSvd(3, 3, nan.data());
    CHECK(false, "no error");
  } catch (const Error& error) {
    CHECK(error.code() == "INTERNAL", "%s", error.code().c_str());
  }
  try {
    linalg::Extent(size_t{1} << 31);
    CHECK(false, "no error");
  } catch (const Error& error) {
    CHECK(error.code() == "SIZE_OVERFLOW", "%s", error.code().c_str());
  }
}

}  // namespace

int main() {
  Random random(11);
  for (const size_t m : {0ul, 1ul, 3ul, 17ul, 64ul}) {
    for (const size_t n : {0ul, 1ul, 5ul, 40ul}) {
      for (const size_t k : {0ul, 1ul, 7ul, 33ul}) {
        Products<double>(m, n, k, random, 1e-10);
        Products<float>(m, n, k, random, 2e-3);
      }
      CholeskyAndSolves(m, n, random);
      Qr(m, n, false, random);
      Qr(m, n, true, random);
      SingularValues(m, n, random);
    }
  }
  Failures();
  std::puts("ok");
}
