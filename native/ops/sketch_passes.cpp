#include "ops/sketch_passes.h"

#include "core/thread_pool.h"
#include "linalg/blas.h"

namespace taskfold {
namespace {

enum Slot : size_t { kBlock, kProduct = kBlock + 3, kWide };

/// Elements that one thread adds up at a time.
constexpr size_t kSumPiece = 65536;

}  // namespace

SketchPasses::SketchPasses(const MatrixSource& source, size_t k, RunControl& control)
    : source_(source),
      k_(k),
      control_(control),
      partition_(source.rows, source.columns, k),
      scratches_(control.threads()) {}

template <class Work>
void SketchPasses::ForBlocks(const Work& work) {
  std::vector<double> norms(norm_known_ ? 0 : partition_.blocks);
  ParallelFor(partition_.groups, control_.threads(), [&](size_t group, unsigned worker) {
    Scratch& scratch = scratches_[worker];
    for (size_t b = partition_.FirstBlock(group); b < partition_.FirstBlock(group + 1); b++) {
      const size_t first = b * partition_.block_rows;
      const size_t rows = std::min(partition_.block_rows, source_.rows - first);
      double* norm = norm_known_ ? nullptr : &norms[b];
      work(group, first, rows, ReadRows(source_, first, rows, norm, scratch, kBlock, control_), scratch);
    }
  });
  for (const double norm : norms) squared_norm_ += norm;
  norm_known_ = true;
}

template <class T>
std::vector<double> SketchPasses::AddGroups(const std::vector<std::vector<T>>& parts) const {
  const size_t n = k_ * source_.columns;
  std::vector<double> sum(n);
  ParallelFor((n + kSumPiece - 1) / kSumPiece, control_.threads(), [&](size_t piece, unsigned) {
    const size_t end = std::min(n, (piece + 1) * kSumPiece);
    for (const std::vector<T>& part : parts) {
      for (size_t i = piece * kSumPiece; i < end; i++) sum[i] += static_cast<double>(part[i]);
    }
  });
  return sum;
}

std::vector<double> SketchPasses::Fused(const std::vector<float>& x) {
  const size_t n = source_.columns;
  std::vector<std::vector<float>> parts(partition_.groups);
  ForBlocks([&](size_t group, size_t, size_t rows, const float* block, Scratch& scratch) {
    std::vector<float>& part = parts[group];
    const float beta = part.empty() ? 0.0f : 1.0f;
    part.resize(k_ * n);
    float* y = scratch.Array<float>(kProduct, k_ * rows);
    linalg::Gemm(k_, rows, n, 1.0f, {x.data(), n}, {block, n, true}, 0.0f, y, rows);
    linalg::Gemm(k_, n, rows, 1.0f, {y, rows}, {block, n}, beta, part.data(), n);
  });
  return AddGroups(parts);
}

std::vector<double> SketchPasses::Forward(const std::vector<float>& x) {
  const size_t n = source_.columns;
  std::vector<double> y(k_ * source_.rows);
  ForBlocks([&](size_t, size_t first, size_t rows, const float* block, Scratch& scratch) {
    float* product = scratch.Array<float>(kProduct, k_ * rows);
    linalg::Gemm(k_, rows, n, 1.0f, {x.data(), n}, {block, n, true}, 0.0f, product, rows);
    for (size_t j = 0; j < k_; j++) {
      double* to = y.data() + j * source_.rows + first;
      for (size_t i = 0; i < rows; i++) to[i] = static_cast<double>(product[j * rows + i]);
    }
  });
  return y;
}

std::vector<double> SketchPasses::Backward(const std::vector<float>& q) {
  const size_t n = source_.columns;
  std::vector<std::vector<float>> parts(partition_.groups);
  ForBlocks([&](size_t group, size_t first, size_t rows, const float* block, Scratch&) {
    const float beta = parts[group].empty() ? 0.0f : 1.0f;
    parts[group].resize(k_ * n);
    linalg::Gemm(k_, n, rows, 1.0f, {q.data() + first, source_.rows}, {block, n}, beta, parts[group].data(),
                 n);
  });
  return AddGroups(parts);
}

std::vector<double> SketchPasses::Backward(const std::vector<double>& q) {
  const size_t n = source_.columns;
  std::vector<std::vector<double>> parts(partition_.groups);
  ForBlocks([&](size_t group, size_t first, size_t rows, const float* block, Scratch& scratch) {
    const double beta = parts[group].empty() ? 0.0 : 1.0;
    parts[group].resize(k_ * n);
    double* wide = scratch.Array<double>(kWide, rows * n);
    for (size_t i = 0; i < rows * n; i++) wide[i] = static_cast<double>(block[i]);
    linalg::Gemm(k_, n, rows, 1.0, {q.data() + first, source_.rows}, {wide, n}, beta, parts[group].data(), n);
  });
  return AddGroups(parts);
}

}  // namespace taskfold
