#include "linalg/lapack.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "linalg/extent.h"

// Fortran's interface, declared here because its headers differ from library to library: every argument by
// address, and behind the declared ones the length of each text.
extern "C" {
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info, size_t);
void dtrcon_(const char* norm, const char* uplo, const char* diag, const int* n, const double* a,
             const int* lda, double* rcond, double* work, int* iwork, int* info, size_t, size_t, size_t);
void dgeqrf_(const int* m, const int* n, double* a, const int* lda, double* tau, double* work,
             const int* lwork, int* info);
void dorgqr_(const int* m, const int* n, const int* k, double* a, const int* lda, const double* tau,
             double* work, const int* lwork, int* info);
void dgesdd_(const char* jobz, const int* m, const int* n, double* a, const int* lda, double* s, double* u,
             const int* ldu, double* vt, const int* ldvt, double* work, const int* lwork, int* iwork,
             int* info, size_t);
void dgesvd_(const char* jobu, const char* jobvt, const int* m, const int* n, double* a, const int* lda,
             double* s, double* u, const int* ldu, double* vt, const int* ldvt, double* work,
             const int* lwork, int* info, size_t, size_t);
}

namespace taskfold::linalg {
namespace {

void Check(const char* routine, int info) {
  if (info == 0) return;
  throw Error("INTERNAL",
              std::string("the linear algebra library failed: ") + routine + " gave " + std::to_string(info));
}

/// Calls run(work, &lwork, &info) twice: LAPACK tells the size of its working memory when lwork is −1.
template <class Run>
int WithWork(const Run& run) {
  double wanted = 1;
  int info = 0, lwork = -1;
  run(&wanted, &lwork, &info);
  if (info != 0) return info;
  // Sizes above 2^24 may have been rounded down to a float's precision by older releases.
  lwork = Extent(static_cast<size_t>(wanted * (1 + 1e-6)) + 1);
  std::vector<double> work(static_cast<size_t>(lwork));
  run(work.data(), &lwork, &info);
  return info;
}

/// jobz "S": u and vt are filled; "N": they may be null. Destroys a. In LAPACK's terms, of Aᵀ.
int DivideAndConquer(const char* jobz, int rows, int columns, double* a, double* values, double* u,
                     double* vt) {
  const int p = std::max(1, std::min(rows, columns));
  std::vector<int> iwork(8 * static_cast<size_t>(p));
  return WithWork([&](double* work, const int* lwork, int* info) {
    dgesdd_(jobz, &columns, &rows, a, &columns, values, vt, &columns, u, &p, work, lwork, iwork.data(), info,
            1);
  });
}

int QrIteration(const char* job, int rows, int columns, double* a, double* values, double* u, double* vt) {
  const int p = std::max(1, std::min(rows, columns));
  return WithWork([&](double* work, const int* lwork, int* info) {
    dgesvd_(job, job, &columns, &rows, a, &columns, values, vt, &columns, u, &p, work, lwork, info, 1, 1);
  });
}

std::vector<double> Decompose(const char* job, size_t rows, size_t columns, double* a, double* u,
                              double* vt) {
  std::vector<double> values(std::min(rows, columns));
  if (values.empty()) return values;
  const std::vector<double> saved(a, a + rows * columns);
  const int m = Extent(rows), n = Extent(columns);
  int info = DivideAndConquer(job, m, n, a, values.data(), u, vt);
  if (info > 0) {
    std::copy(saved.begin(), saved.end(), a);
    info = QrIteration(job, m, n, a, values.data(), u, vt);
  }
  Check("the singular value decomposition", info);
  return values;
}

}  // namespace

bool Cholesky(size_t n, double* g) {
  if (n == 0) return true;
  const int size = Extent(n);
  int info = 0;
  dpotrf_("L", &size, g, &size, &info, 1);
  if (info < 0) Check("dpotrf", info);
  for (size_t i = 1; i < n; i++) std::fill_n(g + i * n, i, 0.0);
  return info == 0;
}

double ReciprocalCondition(size_t n, const double* r) {
  if (n == 0) return 1;
  const int size = Extent(n);
  int info = 0;
  double rcond = 0;
  std::vector<double> work(3 * n);
  std::vector<int> iwork(n);
  dtrcon_("1", "L", "N", &size, r, &size, &rcond, work.data(), iwork.data(), &info, 1, 1, 1);
  Check("dtrcon", info);
  return rcond;
}

std::vector<double> HouseholderQr(size_t n, size_t k, double* s) {
  const size_t p = std::min(n, k);
  std::vector<double> r(p * k);
  if (p == 0) return r;
  const int rows = Extent(n), columns = Extent(k), reflectors = Extent(p);
  std::vector<double> tau(p);
  Check("dgeqrf", WithWork([&](double* work, const int* lwork, int* info) {
          dgeqrf_(&rows, &columns, s, &rows, tau.data(), work, lwork, info);
        }));
  for (size_t i = 0; i < p; i++) {
    for (size_t j = i; j < k; j++) r[i * k + j] = s[j * n + i];
  }
  Check("dorgqr", WithWork([&](double* work, const int* lwork, int* info) {
          dorgqr_(&rows, &reflectors, &reflectors, s, &rows, tau.data(), work, lwork, info);
        }));
  return r;
}

Svd SmallSvd(size_t rows, size_t columns, double* a) {
  const size_t p = std::min(rows, columns);
  Svd svd;
  svd.u.resize(rows * p);
  svd.vt.resize(p * columns);
  svd.values = Decompose("S", rows, columns, a, svd.u.data(), svd.vt.data());
  return svd;
}

std::vector<double> SingularValues(size_t rows, size_t columns, double* a) {
  return Decompose("N", rows, columns, a, nullptr, nullptr);
}

}  // namespace taskfold::linalg
