// Products with a sketch (cuda/taskfold_cuda_linalg.h), emulated, against plain loops in f64: within their
// documented error, and the same bits in every order of threads.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/float_convert.h"
#include "cuda_kernel_test.h"
#include "linalg_values.h"

using namespace taskfold;

namespace {

/// Values of a dtype, as stored and widened.
struct Stored {
  int32_t dtype;
  std::vector<uint8_t> bytes;
  std::vector<float> wide;
};

Stored Store(Dtype dtype, const std::vector<float>& values) {
  Stored stored{static_cast<int32_t>(dtype), std::vector<uint8_t>(values.size() * ItemSize(dtype)), {}};
  stored.wide.resize(values.size());
  VisitDtype(dtype, [&]<Dtype kDtype>() {
    for (size_t i = 0; i < values.size(); i++) {
      const auto raw = Storage<kDtype>::Round(values[i]);
      std::memcpy(&stored.bytes[i * sizeof raw], &raw, sizeof raw);
      stored.wide[i] = Storage<kDtype>::Widen(raw);
    }
  });
  return stored;
}

/// D = scale · (matrix − minus) and where it lies.
struct Dense {
  size_t rows, columns;
  Stored matrix, minus;
  bool has_minus;
  float scale;
  DeviceArray<uint8_t> on_device, minus_on_device;

  double Difference(size_t i, size_t c) const {
    const float m = matrix.wide[i * columns + c];
    return static_cast<double>(has_minus ? m - minus.wide[i * columns + c] : m);
  }
  double At(size_t i, size_t c) const { return static_cast<double>(scale) * Difference(i, c); }
  template <class Job>
  Job Start(uint32_t k) const {
    Job job{};
    job.dtype = matrix.dtype;
    job.minus_dtype = has_minus ? minus.dtype : 77;
    job.rows = rows;
    job.columns = columns;
    job.k = k;
    job.scale = scale;
    job.matrix = on_device.data();
    job.minus = has_minus ? minus_on_device.data() : nullptr;
    return job;
  }
};

Dense MakeDense(const CudaTest& test, size_t rows, size_t columns, Random& random) {
  Dense dense{
      rows, columns, {}, {}, random.Below(4) != 0, std::ldexp(1.0f, static_cast<int>(random.Below(5)) - 2),
      {},   {}};
  const std::vector<float> values = RandomNarrow(rows * columns, random);
  dense.matrix = Store(static_cast<Dtype>(random.Below(5)), values);
  std::vector<float> near = values;
  for (float& x : near) x += static_cast<float>(Symmetric(random)) / 8;
  // As often as not of the same dtype.
  const auto other =
      random.Below(2) == 0 ? static_cast<Dtype>(dense.matrix.dtype) : static_cast<Dtype>(random.Below(5));
  dense.minus = Store(other, near);
  dense.on_device = test.Upload(dense.matrix.bytes);
  dense.minus_on_device = test.Upload(dense.minus.bytes);
  return dense;
}

/// What sums of n terms may be off by, as a share of the sum of magnitudes: the split products' 2^-20, and
/// roundings of f32 inside a step of 32 terms and between steps.
double SketchTolerance(size_t n) {
  const double terms = 3.0 * static_cast<double>(std::min<size_t>(n, 32)) + static_cast<double>(n) / 32 + 2;
  return std::ldexp(1.0, -20) + terms * std::ldexp(1.0, -24);
}

void CheckForward(const CudaTest& test, const Dense& dense, uint32_t k, Random& random) {
  const size_t rows = dense.rows, columns = dense.columns, stride = rows + random.Below(5),
               skip = random.Below(3);
  const std::vector<float> x = RandomNarrow(k * columns, random);
  const auto on_device = test.Upload(x);
  std::vector<float> narrow[CudaTest::kOrders];
  Wide wide[CudaTest::kOrders], norm[CudaTest::kOrders];
  for (int order = 0; order < CudaTest::kOrders; order++) {
    CudaTest::Order(order);
    const auto y = test.Upload(std::vector<float>(skip + k * stride, -7));
    const auto wide_y = test.Upload(Wide(skip + k * stride, -7));
    const auto squared = test.Upload(Wide{3});
    const auto flag = test.Upload(std::vector<uint64_t>{0});
    auto job = dense.Start<tf_cuda_sketch_job>(k);
    job.x = on_device.data();
    job.y = y.data() + skip;
    job.wide_y = wide_y.data() + skip;
    job.y_stride = stride;
    job.squared_norm = squared.data();
    job.not_finite = flag.data();
    test.Call(test.cuda.sketch_forward, job);
    narrow[order] = test.Download(y);
    wide[order] = test.Download(wide_y);
    norm[order] = test.Download(squared);
    CHECK(test.Download(flag)[0] == 0, "all are finite");
    CHECK(narrow[order] == narrow[0] && wide[order] == wide[0] && norm[order] == norm[0],
          "order %d gives other bits", order);
  }
  double squares = 0;
  for (size_t i = 0; i < rows; i++) {
    for (size_t c = 0; c < columns; c++) squares += dense.Difference(i, c) * dense.Difference(i, c);
  }
  CheckNear(norm[0][0] - 3, squares, 1.2e-16 * static_cast<double>(rows * columns + 8) * (squares + 3),
            "norm", rows, columns);
  for (size_t j = 0; j < k; j++) {
    for (size_t i = 0; i < rows; i++) {
      double sum = 0, magnitude = 0;
      for (size_t c = 0; c < columns; c++) {
        const double term = static_cast<double>(x[j * columns + c]) * dense.At(i, c);
        sum += term;
        magnitude += std::fabs(term);
      }
      const double most = SketchTolerance(columns) * magnitude;
      const size_t at = skip + j * stride + i;
      CheckNear(static_cast<double>(narrow[0][at]), sum, most, "y", j, i);
      CheckNear(wide[0][at], sum, most, "wide y", j, i);
    }
    for (size_t i = rows; i < stride && j + 1 < k; i++) {
      CHECK(narrow[0][skip + j * stride + i] == -7 && wide[0][skip + j * stride + i] == -7,
            "between the columns");
    }
  }
  for (size_t i = 0; i < skip; i++) CHECK(narrow[0][i] == -7 && wide[0][i] == -7, "before y");
}

template <class T>
void CheckBackward(const CudaTest& test, const Dense& dense, uint32_t k, Random& random) {
  constexpr bool kWide = sizeof(T) == 8;
  const size_t rows = dense.rows, columns = dense.columns, stride = rows + random.Below(5),
               skip = random.Below(3);
  std::vector<T> y(skip + k * stride, static_cast<T>(NAN));
  for (size_t j = 0; j < k; j++) {
    for (size_t i = 0; i < rows; i++) y[skip + j * stride + i] = static_cast<T>(Symmetric(random));
  }
  const auto on_device = test.Upload(y);
  const Wide before = RandomWide(k * columns, random);
  Wide found;
  for (int order = 0; order < CudaTest::kOrders; order++) {
    CudaTest::Order(order);
    const auto z = test.Upload(before);
    auto job = dense.Start<tf_cuda_backward_job>(k);
    if constexpr (kWide) {
      job.wide_y = on_device.data() + skip;
    } else {
      job.y = on_device.data() + skip;
    }
    job.y_stride = stride;
    job.z = z.data();
    test.Call(test.cuda.sketch_backward, job);
    const Wide now = test.Download(z);
    CHECK(order == 0 || now == found, "order %d gives other bits", order);
    found = now;
  }
  const double tolerance =
      kWide ? static_cast<double>(rows + 3) * std::ldexp(1.0, -52) : SketchTolerance(rows);
  for (size_t j = 0; j < k; j++) {
    for (size_t c = 0; c < columns; c++) {
      double sum = before[j * columns + c], magnitude = kWide ? std::fabs(sum) : 0;
      for (size_t i = 0; i < rows; i++) {
        const double term = static_cast<double>(y[skip + j * stride + i]) * dense.At(i, c);
        sum += term;
        magnitude += std::fabs(term);
      }
      CheckNear(found[j * columns + c], sum, tolerance * magnitude + 1e-15, kWide ? "wide z" : "z", j, c);
    }
  }
}

void CheckProducts(const CudaTest& test, size_t rows, size_t columns, uint32_t k, Random& random) {
  const Dense dense = MakeDense(test, rows, columns, random);
  CheckForward(test, dense, k, random);
  CheckBackward<float>(test, dense, k, random);
  CheckBackward<double>(test, dense, k, random);
}

void CheckZerosAndFlags(const CudaTest& test, Random& random) {
  constexpr size_t kRows = 70, kColumns = 90;
  for (int round = 0; round < 12; round++) {
    const auto dtype = static_cast<Dtype>(round % 5);
    const bool bad = round >= 5, in_minus = round % 2 == 1;
    std::vector<float> values(kRows * kColumns, 0);
    const Stored zeros = Store(dtype, values);
    const size_t place = random.Below(kRows * kColumns);
    values[place] = round % 3 == 0 ? NAN : std::numeric_limits<float>::infinity();
    const Stored one_bad = Store(dtype, values);
    const auto matrix = test.Upload(bad && !in_minus ? one_bad.bytes : zeros.bytes);
    const auto minus = test.Upload(bad && in_minus ? one_bad.bytes : zeros.bytes);
    const auto x = test.Upload(RandomNarrow(7 * kColumns, random));
    const auto y = test.Allocate<float>(7 * kRows);
    const auto squared = test.Upload(Wide{0});
    const auto flag = test.Upload(std::vector<uint64_t>{0});
    tf_cuda_sketch_job job{};
    job.dtype = job.minus_dtype = static_cast<int32_t>(dtype);
    job.rows = kRows;
    job.columns = kColumns;
    job.k = 7;
    job.scale = 1;
    job.matrix = matrix.data();
    job.minus = minus.data();
    job.x = x.data();
    job.y = y.data();
    job.y_stride = kRows;
    job.squared_norm = squared.data();
    job.not_finite = flag.data();
    test.Call(test.cuda.sketch_forward, job);
    CHECK((test.Download(flag)[0] != 0) == bad, "flag, round %d, place %zu", round, place);
    if (bad) continue;
    CHECK(test.Download(squared)[0] == 0, "norm of zeros");
    for (const float v : test.Download(y)) CHECK(v == 0, "products of zeros");
  }
}

void CheckRefusals(const CudaTest& test, Random& random) {
  const Dense dense = MakeDense(test, 3, 5, random);
  const auto x = test.Upload(RandomNarrow(20, random));
  const auto y = test.Allocate<float>(20);
  const auto z = test.Upload(Wide(20));
  auto forward = dense.Start<tf_cuda_sketch_job>(2);
  forward.x = x.data();
  forward.y = y.data();
  forward.y_stride = 3;
  test.Call(test.cuda.sketch_forward, forward);
  const auto refused = [&](auto change) {
    auto job = forward;
    change(job);
    test.Refused(test.cuda.sketch_forward, job);
  };
  refused([](auto& job) { job.k = 0; });
  refused([](auto& job) { job.k = TF_CUDA_MAX_SKETCH + 1; });
  refused([](auto& job) { job.dtype = 9; });
  refused([](auto& job) { job.matrix = nullptr; });
  refused([](auto& job) { job.matrix = static_cast<const uint8_t*>(job.matrix) + 4; });
  refused([](auto& job) { job.x = nullptr; });
  refused([](auto& job) { job.y = nullptr; });
  refused([](auto& job) { job.y_stride = 2; });
  refused([](auto& job) { job.columns = 0; });
  auto backward = dense.Start<tf_cuda_backward_job>(2);
  backward.y = y.data();
  backward.y_stride = 3;
  test.Refused(test.cuda.sketch_backward, backward);
  backward.z = z.data();
  test.Call(test.cuda.sketch_backward, backward);
  backward.wide_y = z.data();
  test.Refused(test.cuda.sketch_backward, backward);
  forward.rows = 0;
  forward.matrix = nullptr;
  test.Call(test.cuda.sketch_forward, forward);
  test.Wait();
}

}  // namespace

int main() {
  Random random(23);
  const CudaTest test;
  CheckRefusals(test, random);
  CheckZerosAndFlags(test, random);
  for (const uint32_t k : {1u, 7u, 8u, 16u, 17u, 40u, 72u, 200u}) {
    CheckProducts(test, 1, 1, k, random);
    CheckProducts(test, 65, 33, k, random);
    CheckProducts(test, 1 + random.Below(k > 60 ? 80 : 300), 1 + random.Below(k > 60 ? 100 : 500), k, random);
    CheckProducts(test, 1 + random.Below(20), 4 * (1 + random.Below(30)), k, random);
  }
  for (int round = 0; round < 40; round++) {
    CheckProducts(test, 1 + random.Below(100), 1 + random.Below(100), 1 + random.Below(20), random);
  }
  CheckProducts(test, 300, 500, 9, random);
  CheckProducts(test, 17, 4096, 8, random);
  CheckProducts(test, 1500, 130, 5, random);
  CheckProducts(test, 64, 4101, 3, random);
  // More tiles than one launch takes.
  CheckProducts(test, 2, 64 * 800, 1, random);
  CheckProducts(test, 64 * 800, 2, 1, random);
  std::puts("ok");
}
