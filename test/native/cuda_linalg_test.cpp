// Thin QR and products in f64 (cuda/taskfold_cuda_linalg.h), emulated, against plain loops and BLAS; the same
// bits in every order of threads.
#include <algorithm>
#include <cmath>

#include "cuda_kernel_test.h"
#include "linalg/blas.h"
#include "linalg_values.h"

using namespace taskfold;

namespace {

/// Matrices of a batch, and the same on the device.
struct Columns {
  uint32_t k;
  size_t n;
  Wide s;
  DeviceArray<double> on_device, r;
  DeviceArray<float> narrow;
};

Columns MakeColumns(const CudaTest& test, uint32_t k, size_t n, Random& random) {
  Columns one{k, n, RandomWide(k * n, random), {}, {}, {}};
  for (uint32_t j = 0; j < k; j++) {
    // Columns of very different norms: scaling takes care of them.
    const double scale = std::ldexp(1.0, static_cast<int>(random.Below(400)) - 200);
    for (size_t i = 0; i < n; i++) one.s[j * n + i] *= scale;
  }
  one.on_device = test.Upload(one.s);
  one.r = test.Allocate<double>(k * k);
  one.narrow = test.Allocate<float>(k * n);
  return one;
}

void CheckGram(const Columns& one, const Wide& gram) {
  for (size_t i = 0; i < one.k; i++) {
    for (size_t j = 0; j < one.k; j++) {
      double sum = 0, magnitude = 0;
      for (size_t p = 0; p < one.n; p++) {
        sum += one.s[i * one.n + p] * one.s[j * one.n + p];
        magnitude += std::fabs(one.s[i * one.n + p] * one.s[j * one.n + p]);
      }
      CheckNear(gram[i * one.k + j], sum, 1e-13 * magnitude, "gram", i, j);
    }
  }
}

/// RᵀR = G, R upper; S·R⁻¹ as BLAS has it, and rounded.
void CheckFactor(const Columns& one, const Wide& gram, const Wide& r, const Wide& q,
                 const std::vector<float>& narrow) {
  const size_t k = one.k, n = one.n;
  for (size_t i = 0; i < k; i++) {
    for (size_t j = 0; j < k; j++) {
      double sum = 0;
      for (size_t p = 0; p <= std::min(i, j); p++) sum += r[p * k + i] * r[p * k + j];
      CheckNear(sum, gram[i * k + j], 1e-13 * std::sqrt(gram[i * k + i] * gram[j * k + j]), "RᵀR", i, j);
      if (i > j) CHECK(r[i * k + j] == 0, "R is upper triangular");
    }
  }
  Wide expected = one.s;
  linalg::SolveUpperTransposed(k, n, r.data(), expected.data(), n);
  for (size_t i = 0; i < k * n; i++) {
    CheckNear(q[i], expected[i], 1e-9 * (1 + std::fabs(expected[i])), "S·R⁻¹", i / n, i % n);
    CHECK(narrow[i] == static_cast<float>(q[i]), "narrow");
  }
}

void CheckQr(const CudaTest& test, const std::vector<std::pair<uint32_t, size_t>>& shapes, Random& random) {
  std::vector<Columns> all;
  for (const auto& [k, n] : shapes) all.push_back(MakeColumns(test, k, n, random));
  std::vector<Wide> bits;
  for (int order = 0; order < CudaTest::kOrders; order++) {
    CudaTest::Order(order);
    std::vector<tf_cuda_columns> matrices;
    for (Columns& one : all) {
      one.on_device = test.Upload(one.s);
      matrices.push_back({one.on_device.data(), one.r.data(), one.narrow.data(), one.n, one.k, 0});
    }
    const auto status = test.Allocate<uint32_t>(all.size());
    const tf_cuda_columns_batch batch{matrices.data(), static_cast<uint32_t>(all.size()), 0, 1e-14,
                                      status.data()};
    test.Call(test.cuda.gram, batch);
    std::vector<Wide> grams;
    for (const Columns& one : all) grams.push_back(test.Download(one.r));
    test.Call(test.cuda.cholesky, batch);
    test.Call(test.cuda.solve, batch);
    for (const uint32_t bad : test.Download(status)) CHECK(bad == 0, "independent columns");
    for (size_t i = 0; i < all.size(); i++) {
      const Wide r = test.Download(all[i].r), q = test.Download(all[i].on_device);
      if (order == 0) {
        CheckGram(all[i], grams[i]);
        CheckFactor(all[i], grams[i], r, q, test.Download(all[i].narrow));
        bits.push_back(r);
        bits.push_back(q);
      }
      CHECK(r == bits[2 * i] && q == bits[2 * i + 1], "order %d gives other bits", order);
    }
  }
}

void CheckDependent(const CudaTest& test, Random& random) {
  constexpr size_t kN = 60;
  for (const uint32_t k : {2u, 17u, 40u}) {
    for (int kind = 0; kind < 3; kind++) {
      Wide s = RandomWide(k * kN, random);
      const size_t from = random.Below(k - 1), to = k - 1;
      for (size_t i = 0; i < kN; i++) {
        if (kind == 0) s[to * kN + i] = 0;
        if (kind == 1) s[to * kN + i] = 3 * s[from * kN + i];
        if (kind == 2) s[to * kN + i] = NAN;
      }
      const Wide good = RandomWide(k * kN, random);
      const auto bad_s = test.Upload(s), good_s = test.Upload(good);
      const auto bad_r = test.Allocate<double>(k * k), good_r = test.Allocate<double>(k * k);
      const tf_cuda_columns matrices[] = {{bad_s.data(), bad_r.data(), nullptr, kN, k, 0},
                                          {good_s.data(), good_r.data(), nullptr, kN, k, 0}};
      const auto status = test.Allocate<uint32_t>(2);
      const tf_cuda_columns_batch batch{matrices, 2, 0, 1e-12, status.data()};
      test.Call(test.cuda.gram, batch);
      test.Call(test.cuda.cholesky, batch);
      CHECK((test.Download(status) == std::vector<uint32_t>{1, 0}), "k %u, kind %d", k, kind);
    }
  }
}

void CheckMultiply(const CudaTest& test, size_t count, Random& random) {
  struct One {
    Wide m, s;
    DeviceArray<double> m_on_device, s_on_device;
    DeviceArray<float> out;
  };
  std::vector<One> all(count);
  std::vector<tf_cuda_product> products;
  for (One& one : all) {
    tf_cuda_product p{};
    p.rows = random.Below(50);
    p.n = random.Below(130);
    p.k = 1 + random.Below(70);
    p.transposed = random.Below(2);
    p.stride = (p.transposed ? p.rows : p.n) + random.Below(3);
    one.m = RandomWide(p.rows * p.k, random);
    one.s = RandomWide(p.k * p.n, random);
    one.m_on_device = test.Upload(one.m);
    one.s_on_device = test.Upload(one.s);
    one.out = test.Upload(std::vector<float>((p.transposed ? p.n : p.rows) * p.stride, -7));
    p.m = one.m_on_device.data();
    p.s = one.s_on_device.data();
    p.out = one.out.data();
    products.push_back(p);
  }
  test.Call(test.cuda.multiply, tf_cuda_product_batch{products.data(), static_cast<uint32_t>(count), 0});
  for (size_t item = 0; item < count; item++) {
    const tf_cuda_product& p = products[item];
    const std::vector<float> out = test.Download(all[item].out);
    for (size_t i = 0; i < out.size(); i++) {
      const size_t row = p.transposed ? i % p.stride : i / p.stride,
                   column = p.transposed ? i / p.stride : i % p.stride;
      if (row >= p.rows || column >= p.n) {
        CHECK(out[i] == -7, "between the rows");
        continue;
      }
      double sum = 0, magnitude = 0;
      for (size_t d = 0; d < p.k; d++) {
        const double term = all[item].m[row * p.k + d] * all[item].s[d * p.n + column];
        sum += term;
        magnitude += std::fabs(term);
      }
      CheckNear(static_cast<double>(out[i]), sum, 1e-7 * std::fabs(sum) + 1e-13 * magnitude, "product", row,
                column);
    }
  }
}

}  // namespace

int main() {
  Random random(29);
  const CudaTest test;
  for (const uint32_t k : {1u, 7u, 8u, 16u, 17u, 40u, 72u, 200u})
    CheckQr(test, {{k, k + random.Below(300)}}, random);
  std::vector<std::pair<uint32_t, size_t>> shapes;
  for (int i = 0; i < 37; i++) {
    const uint32_t k = 1 + random.Below(30);
    shapes.emplace_back(k, k + random.Below(90));
  }
  CheckQr(test, shapes, random);
  CheckQr(test, {{24, 5000}, {33, 4096}}, random);
  CheckDependent(test, random);
  CheckMultiply(test, 1, random);
  CheckMultiply(test, 40, random);
  std::puts("ok");
}
