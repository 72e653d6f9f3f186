// Randomized SVD and truncation of products on an emulated GPU against the CPU's results: singular values,
// errors of the factors, what falls back, errors, a scarce memory budget.
#include <algorithm>
#include <cmath>
#include <limits>

#include "cuda_kernel_test.h"
#include "device/device_set.h"
#include "linalg_values.h"
#include "ops/low_rank_product.h"
#include "ops/randomized_svd.h"

using namespace taskfold;

namespace {

constexpr uint64_t kMemory = uint64_t{192} << 20;

Operand Memory(std::vector<float>& values) {
  return {Region::OfMemory(reinterpret_cast<uint8_t*>(values.data()), values.size() * 4), Dtype::kF32};
}

/// How often kernels were started, so that a comparison with the CPU is none of the CPU with itself.
struct Calls {
  int forward = 0, backward = 0, wide_backward = 0, solve = 0, multiply = 0;
} calls;
const CudaLibrary* real = nullptr;

CudaLibrary Counting(const CudaLibrary& cuda) {
  real = &cuda;
  CudaLibrary counting = cuda;
  counting.sketch_forward = [](tf_cuda_queue* queue, const tf_cuda_sketch_job* job, char* error,
                               size_t bytes) {
    calls.forward++;
    return real->sketch_forward(queue, job, error, bytes);
  };
  counting.sketch_backward = [](tf_cuda_queue* queue, const tf_cuda_backward_job* job, char* error,
                                size_t bytes) {
    (job->wide_y ? calls.wide_backward : calls.backward)++;
    return real->sketch_backward(queue, job, error, bytes);
  };
  counting.solve = [](tf_cuda_queue* queue, const tf_cuda_columns_batch* batch, char* error, size_t bytes) {
    calls.solve++;
    return real->solve(queue, batch, error, bytes);
  };
  counting.multiply = [](tf_cuda_queue* queue, const tf_cuda_product_batch* batch, char* error,
                         size_t bytes) {
    calls.multiply += static_cast<int>(batch->count);
    return real->multiply(queue, batch, error, bytes);
  };
  return counting;
}

double Square(double x) { return x * x; }

struct Factors {
  RandomizedSvdResult result;
  std::vector<float> b, a;
};

Factors Decompose(RandomizedSvdJob job, RunControl& control) {
  Factors factors;
  factors.b.assign(job.source.rows * job.rank, NAN);
  factors.a.assign(job.rank * job.source.columns, NAN);
  job.out_b = Memory(factors.b);
  job.out_a = Memory(factors.a);
  factors.result = RandomizedSvd(job, control);
  return factors;
}

struct Shape {
  size_t rows, columns, rank, oversample, iterations;
  /// Ratio of one singular value to the next; 0: exactly of rank 3.
  double decay;
  float scale = 1;
};

/// A difference with decaying singular values, as matrix and minus.
void Fill(const Shape& shape, std::vector<float>& matrix, std::vector<float>& minus, Random& random) {
  minus = RandomNarrow(shape.rows * shape.columns, random);
  std::vector<double> sum(minus.begin(), minus.end());
  double sigma = 1;
  const size_t terms = shape.decay == 0 ? 3 : 40;
  for (size_t t = 0; t < terms; t++, sigma *= shape.decay == 0 ? 0.5 : shape.decay) {
    const std::vector<float> u = RandomNarrow(shape.rows, random), v = RandomNarrow(shape.columns, random);
    for (size_t i = 0; i < sum.size(); i++) {
      sum[i] += sigma * static_cast<double>(u[i / shape.columns]) * static_cast<double>(v[i % shape.columns]);
    }
  }
  matrix.resize(sum.size());
  for (size_t i = 0; i < sum.size(); i++) {
    matrix[i] = static_cast<float>(sum[i]) * shape.scale;
    minus[i] *= shape.scale;
  }
}

void CompareSvd(const Shape& shape, const std::shared_ptr<DeviceSet>& devices, uint64_t seed) {
  Random random(seed);
  std::vector<float> matrix, minus;
  Fill(shape, matrix, minus, random);
  RandomizedSvdJob job;
  job.source = {"w", shape.rows, shape.columns, Memory(matrix), Memory(minus), 1};
  job.rank = shape.rank;
  job.oversample = shape.oversample;
  job.power_iterations = shape.iterations;
  job.seed = seed;
  RunControl cpu(nullptr, 2), gpu(nullptr, 2, devices);
  const Factors expected = Decompose(job, cpu), found = Decompose(job, gpu), again = Decompose(job, gpu);
  CHECK(found.b == again.b && found.a == again.a && found.result.values == again.result.values, "other bits");
  const double norm = std::sqrt(expected.result.squared_norm);
  CHECK(std::fabs(found.result.squared_norm - expected.result.squared_norm) <= 1e-12 * norm * norm, "norm");
  const double largest = expected.result.values[0];
  for (size_t i = 0; i < shape.rank; i++) {
    CHECK(std::fabs(found.result.values[i] - expected.result.values[i]) <= 1e-5 * largest,
          "σ[%zu] %.9g, CPU %.9g", i, found.result.values[i], expected.result.values[i]);
  }
  std::vector<double> dense(matrix.size());
  for (size_t i = 0; i < dense.size(); i++) dense[i] = static_cast<double>(matrix[i] - minus[i]);
  const double error = Residual(dense, found.b, found.a, shape.rows, shape.rank, shape.columns);
  const double by_cpu = Residual(dense, expected.b, expected.a, shape.rows, shape.rank, shape.columns);
  CHECK(error <= (1 + 1e-4) * by_cpu + 1e-6 * norm, "%zu × %zu: error %g, CPU %g, norm %g", shape.rows,
        shape.columns, error, by_cpu, norm);
}

void CompareErrors(const std::shared_ptr<DeviceSet>& devices) {
  Random random(5);
  for (int round = 0; round < 6; round++) {
    std::vector<float> matrix = RandomNarrow(90 * 70, random), minus = matrix, b(90 * 3), a(3 * 70);
    const float bad = round % 2 == 0 ? NAN : std::numeric_limits<float>::infinity();
    std::vector<float>& faulty = round < 3 ? matrix : minus;
    faulty[random.Below(90 * 70)] = bad;
    faulty[random.Below(90 * 70)] = bad;
    RandomizedSvdJob job;
    job.source = {"w", 90, 70, Memory(matrix), Memory(minus), 1};
    job.rank = 3;
    job.oversample = 4;
    job.power_iterations = static_cast<size_t>(round % 3);
    job.out_b = Memory(b);
    job.out_a = Memory(a);
    std::string said[2];
    for (int device = 0; device < 2; device++) {
      RunControl control(nullptr, 2, device == 0 ? nullptr : devices);
      try {
        RandomizedSvd(job, control);
        CHECK(false, "no error");
      } catch (const Error& error) {
        CHECK(error.code() == "NON_FINITE" && error.operand() == (round < 3 ? "matrix" : "minus"), "%s",
              error.what());
        said[device] = error.what();
      }
    }
    CHECK(said[0] == said[1], "CPU: %s; GPU: %s", said[0].c_str(), said[1].c_str());
  }
}

void CompareCancelled(const std::shared_ptr<DeviceSet>& devices) {
  Random random(6);
  std::vector<float> matrix = RandomNarrow(90 * 70, random), b(90 * 3), a(3 * 70);
  RandomizedSvdJob job;
  job.source = {"w", 90, 70, Memory(matrix), std::nullopt, 1};
  job.rank = 3;
  job.oversample = 4;
  job.power_iterations = 1;
  job.out_b = Memory(b);
  job.out_a = Memory(a);
  const auto flag = std::make_shared<CancelFlag>();
  RunControl control(flag, 2, devices);
  control.OnProgress([&](uint64_t) { flag->cancelled = true; });
  try {
    RandomizedSvd(job, control);
    CHECK(false, "no error");
  } catch (const Error& error) {
    CHECK(error.code() == "CANCELLED", "%s", error.what());
  }
}

/// Layers of all kinds: usual ones, more columns than rows, dependent columns, zero, several products.
struct Layers {
  struct One {
    std::vector<float> b[2], a[2], out_b, out_a;
  };
  std::vector<One> memory;
  std::vector<ProductLayer> layers;
};

void FillLayers(Layers& all, bool keep, Random& random) {
  all.memory.resize(24);
  for (size_t l = 0; l < all.memory.size(); l++) {
    Layers::One& one = all.memory[l];
    ProductLayer layer;
    layer.name = "layer" + std::to_string(l);
    layer.rows = 1 + random.Below(90);
    layer.columns = 1 + random.Below(90);
    if (l == 3) layer.rows = 700, layer.columns = 500;
    for (size_t p = 0; p < 1 + l % 2; p++) {
      const size_t rank = 1 + random.Below(20);
      one.b[p] = RandomNarrow(layer.rows * rank, random);
      one.a[p] = RandomNarrow(rank * layer.columns, random);
      // Nearly dependent columns of B, equal rows of A, a zero product.
      for (size_t i = 0; l % 6 == 1 && rank > 1 && i < layer.rows; i++) {
        one.b[p][i * rank + 1] = one.b[p][i * rank] * (1 + 1e-6f * static_cast<float>(i % 3));
      }
      if (l % 6 == 2 && rank > 1)
        std::copy_n(one.a[p].begin(), layer.columns,
                    one.a[p].begin() + static_cast<ptrdiff_t>(layer.columns));
      if (l == 9) std::fill(one.b[p].begin(), one.b[p].end(), 0.0f);
      layer.products.push_back({Memory(one.b[p]), Memory(one.a[p]), rank, p == 0 ? 0.5 : -2.0});
    }
    if (keep) {
      layer.keep = random.Below(14);
      one.out_b.assign(layer.rows * *layer.keep, NAN);
      one.out_a.assign(*layer.keep * layer.columns, NAN);
      layer.out_b = Memory(one.out_b);
      layer.out_a = Memory(one.out_a);
    }
    all.layers.push_back(std::move(layer));
  }
}

std::vector<double> DenseOf(const ProductLayer& layer, const Layers::One& one) {
  std::vector<double> dense(layer.rows * layer.columns);
  for (size_t p = 0; p < layer.products.size(); p++) {
    const size_t rank = layer.products[p].rank;
    for (size_t i = 0; i < dense.size(); i++) {
      for (size_t k = 0; k < rank; k++) {
        dense[i] += layer.products[p].scale * static_cast<double>(one.b[p][i / layer.columns * rank + k]) *
                    static_cast<double>(one.a[p][k * layer.columns + i % layer.columns]);
      }
    }
  }
  return dense;
}

void CompareTruncation(const std::shared_ptr<DeviceSet>& devices, bool keep, SvdSplit split, uint64_t seed) {
  Random random(seed), same(seed);
  Layers on_cpu, on_gpu;
  FillLayers(on_cpu, keep, random);
  FillLayers(on_gpu, keep, same);
  RunControl cpu(nullptr, 2), gpu(nullptr, 2, devices);
  const auto expected = TruncateProducts(on_cpu.layers, split, cpu);
  const auto found = TruncateProducts(on_gpu.layers, split, gpu);
  for (size_t l = 0; l < expected.size(); l++) {
    const ProductLayer& layer = on_gpu.layers[l];
    CHECK(found[l].size() == expected[l].size(), "layer %zu", l);
    double norm = 0, tail = 0;
    for (size_t i = 0; i < expected[l].size(); i++) {
      norm += Square(expected[l][i]);
      if (i >= layer.keep.value_or(0)) tail += Square(expected[l][i]);
      CHECK(std::fabs(found[l][i] - expected[l][i]) <= 1e-7 * expected[l][0],
            "layer %zu, σ[%zu]: %.12g, CPU %.12g", l, i, found[l][i], expected[l][i]);
    }
    if (!keep) continue;
    const std::vector<double> dense = DenseOf(layer, on_gpu.memory[l]);
    std::vector<float> b = on_gpu.memory[l].out_b;
    for (size_t i = 0; split == SvdSplit::kNone && i < b.size(); i++) {
      const size_t component = i % *layer.keep;
      b[i] *= component < found[l].size() ? static_cast<float>(found[l][component]) : 0;
    }
    const double error = Residual(dense, b, on_gpu.memory[l].out_a, layer.rows, *layer.keep, layer.columns);
    CHECK(error <= (1 + 1e-4) * std::sqrt(tail) + 2e-6 * std::sqrt(norm), "layer %zu: %g of %g, best %g", l,
          error, std::sqrt(norm), std::sqrt(tail));
  }
}

void CompareProductErrors(const std::shared_ptr<DeviceSet>& devices) {
  std::vector<float> b(60, 1), a(80, 1), out_b(30), out_a(40);
  a[55] = std::numeric_limits<float>::infinity();
  RunControl control(nullptr, 2, devices);
  try {
    TruncateProducts({{"w", 30, 40, {{Memory(b), Memory(a), 2, 1}}, 1, Memory(out_b), Memory(out_a)}},
                     SvdSplit::kNone, control);
    CHECK(false, "no error");
  } catch (const Error& error) {
    CHECK(error.code() == "NON_FINITE" && error.operand() == "a" && error.index() == 55, "%s", error.what());
  }
}

std::shared_ptr<DeviceSet> Devices(const CudaLibrary& cuda, uint64_t memory) {
  return std::make_shared<DeviceSet>(cuda, std::vector<int32_t>{0}, memory);
}

void CompareSvds(const CudaLibrary& cuda) {
  const auto devices = Devices(cuda, kMemory);
  for (const uint64_t seed : {1, 2, 3}) {
    CompareSvd({90, 70, 5, 6, 1, 0.7}, devices, seed);
    CompareSvd({70, 130, 4, 3, 2, 0.8}, devices, seed);
    CompareSvd({150, 40, 8, 8, 0, 0.5}, devices, seed);
  }
  CompareSvd({100, 100, 1, 0, 1, 0.5}, devices, 4);
  CHECK(calls.forward > 0 && calls.backward > 0 && calls.solve > 0, "nothing ran on the device");
  // Steep: the fused pass is not enough, columns nearly dependent.
  CompareSvd({120, 100, 10, 8, 2, 0.05}, devices, 5);
  // Of rank 3: sketches fall back to Householder, the error needs products in f64.
  calls = {};
  CompareSvd({120, 100, 5, 8, 1, 0}, devices, 6);
  CHECK(calls.forward > 0 && calls.wide_backward > 0, "%d and %d products", calls.forward,
        calls.wide_backward);
  CompareSvd({90, 80, 4, 5, 1, 0.6, 1e-20f}, devices, 7);
  CompareSvd({90, 80, 4, 5, 1, 0.6, 1e18f}, devices, 8);
  // As wide as the matrix: the CPU's.
  CompareSvd({20, 9, 5, 6, 1, 0.5}, devices, 9);
  // Several blocks of rows; not all of them fit, so the matrix is read once a pass; none of them does.
  for (const uint64_t mebibytes : {192, 34, 1}) {
    calls = {};
    const auto scarce = Devices(cuda, mebibytes << 20);
    scarce->SetChunkBytes(65 * 900 * 4);
    CompareSvd({170, 900, 3, 3, 1, 0.6}, scarce, 10);
    CHECK((calls.forward > 0) == (mebibytes > 1), "%d products", calls.forward);
  }
  CompareErrors(devices);
  CompareCancelled(devices);
}

void CompareTruncations(const CudaLibrary& cuda) {
  const auto devices = Devices(cuda, kMemory);
  calls = {};
  for (const uint64_t seed : {1, 2, 3}) {
    CompareTruncation(devices, true, SvdSplit::kSqrt, seed);
    CompareTruncation(devices, true, SvdSplit::kNone, seed);
    CompareTruncation(devices, false, SvdSplit::kSqrt, seed);
  }
  const int all = calls.multiply;
  CHECK(all > 100 && all < 6 * 48, "%d of %d products on the device", all, 6 * 48);
  // A lane has room for small sides only, or for none.
  for (const uint64_t kibibytes : {33 * 1024, 1024}) {
    calls = {};
    CompareTruncation(Devices(cuda, kibibytes << 10), true, SvdSplit::kSqrt, 4);
    CHECK((calls.multiply > 0) == (kibibytes > 1024), "%d products", calls.multiply);
  }
  CompareProductErrors(devices);
}

}  // namespace

int main() {
  const CudaTest test;
  const CudaLibrary counting = Counting(test.cuda);
  CompareSvds(counting);
  CompareTruncations(counting);
  std::puts("ok");
}
