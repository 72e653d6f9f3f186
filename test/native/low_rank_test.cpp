// The low-rank operations without JavaScript, for the sanitizers: random small shapes in memory and files.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.h"
#include "core/philox.h"
#include "linalg_values.h"
#include "ops/add_products.h"
#include "ops/low_rank_product.h"
#include "ops/randomized_svd.h"

using namespace taskfold;

namespace {

std::vector<float> RandomValues(size_t n, Random& random) {
  std::vector<float> values(n);
  for (float& x : values) x = (static_cast<float>(random.Below(2001)) - 1000) / 500;
  return values;
}

Operand Memory(std::vector<float>& values) {
  return {Region::OfMemory(reinterpret_cast<uint8_t*>(values.data()), values.size() * 4), Dtype::kF32};
}

/// The same numbers in a file that nobody else sees, at an odd place.
Operand InFile(const std::vector<float>& values) {
  const std::shared_ptr<File> file = File::OpenTemporaryBeside("/tmp/taskfold-low-rank-test");
  file->WriteAt(values.data(), values.size() * 4, 13);
  return {Region::OfFile(file, 13, values.size() * 4), Dtype::kF32};
}

double Tail(const std::vector<double>& values, size_t kept) {
  double sum = 0;
  for (size_t i = kept; i < values.size(); i++) sum += values[i] * values[i];
  return std::sqrt(sum);
}

void Truncate(size_t rows, size_t columns, size_t rank, size_t keep, unsigned threads, Random& random) {
  std::vector<float> b = RandomValues(rows * rank, random), a = RandomValues(rank * columns, random);
  std::vector<float> out_b(rows * keep, NAN), out_a(keep * columns, NAN);
  ProductLayer layer{"w",  rows,          columns,      {{Memory(b), InFile(a), rank, -0.5}},
                     keep, Memory(out_b), Memory(out_a)};
  RunControl control(nullptr, threads);
  const std::vector<double> values = TruncateProducts({layer}, SvdSplit::kSqrt, control)[0];
  CHECK(values.size() == std::min({rows, columns, rank}), "%zu values", values.size());
  std::vector<double> dense(rows * columns);
  double norm = 0;
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < columns; j++) {
      double& x = dense[i * columns + j];
      for (size_t k = 0; k < rank; k++)
        x -= 0.5 * static_cast<double>(b[i * rank + k]) * static_cast<double>(a[k * columns + j]);
      norm += x * x;
    }
  }
  norm = std::sqrt(norm);
  CHECK(std::fabs(Tail(values, 0) - norm) <= 1e-9 * norm, "‖σ‖ %g, norm %g", Tail(values, 0), norm);
  const double error = Residual(dense, out_b, out_a, rows, keep, columns);
  CHECK(error <= 1.0001 * Tail(values, std::min(keep, values.size())) + 1e-5 * norm,
        "%zu × %zu, rank %zu to %zu: %g of %g", rows, columns, rank, keep, error, norm);
}

void Add(size_t rows, size_t columns, size_t rank, bool transposed, unsigned threads, Random& random) {
  std::vector<float> base = RandomValues(rows * columns, random), out(rows * columns, NAN);
  std::vector<float> b = RandomValues((transposed ? columns : rows) * rank, random);
  std::vector<float> a = RandomValues(rank * (transposed ? rows : columns), random);
  RunControl control(nullptr, threads);
  const AddedProduct added{{Memory(b), Memory(a), rank, 2}, transposed};
  AddProducts({{"w", rows, columns, InFile(base), {added, added}, Memory(out)}}, control);
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < columns; j++) {
      double sum = static_cast<double>(base[i * columns + j]);
      for (size_t k = 0; k < rank; k++) {
        const float left = transposed ? b[j * rank + k] : b[i * rank + k];
        const float right = transposed ? a[k * rows + i] : a[k * columns + j];
        sum += 4 * static_cast<double>(left) * static_cast<double>(right);
      }
      CHECK(std::fabs(sum - static_cast<double>(out[i * columns + j])) < 1e-3, "(%zu, %zu)", i, j);
    }
  }
}

void Randomized(size_t rows, size_t columns, size_t rank, size_t oversample, unsigned threads,
                Random& random) {
  std::vector<float> matrix = RandomValues(rows * columns, random), minus = matrix;
  // A difference of rank 3, and noise.
  const std::vector<float> b = RandomValues(rows * 3, random), a = RandomValues(3 * columns, random);
  for (size_t i = 0; i < rows * columns; i++) {
    for (size_t k = 0; k < 3; k++) matrix[i] += b[i / columns * 3 + k] * a[k * columns + i % columns];
    matrix[i] += (static_cast<float>(random.Below(101)) - 50) / 5000;
  }
  std::vector<float> out_b(rows * rank, NAN), out_a(rank * columns, NAN);
  RandomizedSvdJob job;
  job.source = {"w", rows, columns, Memory(matrix), InFile(minus), 1};
  job.rank = rank;
  job.oversample = oversample;
  job.power_iterations = 1;
  job.seed = 9;
  job.out_b = Memory(out_b);
  job.out_a = Memory(out_a);
  RunControl control(nullptr, threads);
  const RandomizedSvdResult result = RandomizedSvd(job, control);
  CHECK(result.kept == rank && result.values.size() == rank, "kept");
  std::vector<double> dense(rows * columns);
  for (size_t i = 0; i < dense.size(); i++) dense[i] = static_cast<double>(matrix[i] - minus[i]);
  const double norm = std::sqrt(result.squared_norm);
  const double error = Residual(dense, out_b, out_a, rows, rank, columns);
  double left = result.squared_norm;
  for (const double sigma : result.values) left -= sigma * sigma;
  CHECK(std::fabs(error - std::sqrt(std::max(0.0, left))) <= 1e-3 * norm, "%g and %g of %g", error,
        std::sqrt(std::max(0.0, left)), norm);
  if (rank >= 3) CHECK(error < 0.05 * norm + 1e-6, "%zu × %zu: %g of %g", rows, columns, error, norm);
}

void Errors() {
  std::vector<float> b(6, 1), a(8, 1), out_b(3), out_a(4);
  a[5] = std::numeric_limits<float>::infinity();
  RunControl control(nullptr, 2);
  try {
    TruncateProducts({{"w", 3, 4, {{Memory(b), Memory(a), 2, 1}}, 1, Memory(out_b), Memory(out_a)}},
                     SvdSplit::kNone, control);
    CHECK(false, "no error");
  } catch (const Error& error) {
    CHECK(error.code() == "NON_FINITE" && error.operand() == "a" && error.index() == 5, "%s", error.what());
  }
}

}  // namespace

int main() {
  Random random(12);
  for (int round = 0; round < 150; round++) {
    const size_t rows = random.Below(30), columns = random.Below(30), rank = random.Below(12);
    const unsigned threads = 1 + random.Below(4);
    Truncate(rows, columns, rank, random.Below(14), threads, random);
    Add(rows, columns, rank, round % 2 == 0, threads, random);
    const size_t least = 1 + random.Below(static_cast<unsigned>(std::min(rows, columns) + 1));
    Randomized(rows + 1, columns + 1, least, random.Below(6), threads, random);
  }
  Randomized(700, 1500, 5, 6, 3, random);
  Randomized(1300, 900, 3, 4, 2, random);
  Errors();
  std::puts("ok");
}
