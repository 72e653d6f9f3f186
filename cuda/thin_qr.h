#pragma once
// CholeskyQR in f64, batched: Gram matrices, their factors, and the division by them.
#include <cmath>

#include "tuning.h"
#include "wide_product.h"

namespace taskfold::cuda {

/// Rows that a thread keeps the sums of in registers.
inline constexpr uint32_t kPanel = 16;

/// A matrix of a batch, as tf_cuda_columns has it.
struct ColumnsItem {
  double* s;
  double* r;
  float* narrow;
  uint64_t n;
  uint32_t k;
  uint64_t first_item;
};

/// sums[p] −= Σ_{i < rows} r[i · k + p] · x[i · stride], p < height.
TF_KERNEL inline void SubtractProducts(const double* r, uint32_t k, const double* x, uint64_t stride,
                                       uint32_t rows, uint32_t height, double* sums) {
  for (uint32_t i = 0; i < rows; i++) {
    const double factor = -x[i * stride];
    TF_UNROLL
    for (uint32_t p = 0; p < kPanel; p++) {
      if (p < height) sums[p] = fma(r[static_cast<uint64_t>(i) * k + p], factor, sums[p]);
    }
  }
}

/// sums = U⁻ᵀ · sums, U(q, p) = u[q · stride + p] upper triangular [height × height].
TF_KERNEL inline void Substitute(const double* u, uint64_t stride, uint32_t height, double* sums) {
  TF_UNROLL
  for (uint32_t p = 0; p < kPanel; p++) {
    if (p >= height) continue;
    double sum = sums[p];
    TF_UNROLL
    for (uint32_t q = 0; q < p; q++) sum = fma(-u[q * stride + p], sums[q], sum);
    sums[p] = sum / u[p * stride + p];
  }
}

/// r = the sum of its parts, the lower triangle mirrored.
struct MirrorItem {
  const double* parts;
  uint64_t stride, elements;
  uint32_t splits;
  uint32_t k;
  double* r;
  uint64_t first_item;
};
struct MirrorBody {
  static constexpr Tuning kTuning = kCombineTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  struct Shared {};

  Batch<MirrorItem> batch;

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    for (uint64_t at = block.index(); at < batch.work; at += block.blocks()) {
      const MirrorItem& item = batch.Of(at);
      const uint64_t row = at - item.first_item;
      block.ForEach([&](uint32_t thread) {
        for (uint64_t column = row + thread; column < item.k; column += kThreads) {
          double sum = 0;
          for (uint32_t s = 0; s < item.splits; s++) {
            sum += item.parts[s * item.elements + row * item.stride + column];
          }
          item.r[row * item.k + column] = sum;
          item.r[column * item.k + row] = sum;
        }
      });
    }
  }
};

/// A block's matrix, row panel by row panel: each panel first loses what the rows above say (left-looking),
/// then its diagonal block is factored, then its rows are divided by that.
struct CholeskyBody {
  static constexpr Tuning kTuning = kCholeskyTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  static constexpr uint32_t kMost = 1024;
  static constexpr double kLeastSquaredNorm = 1e-280;
  static_assert(kThreads >= kPanel * kPanel, "a thread for each element of a diagonal block");
  struct Shared {
    double norm[kMost];
    double block[kPanel][kPanel];
    double factor[kPanel][kPanel];
    uint32_t bad;
  };

  Batch<ColumnsItem> batch;
  double least;
  uint32_t* status;

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    auto& shared = block.template shared<Shared>();
    for (uint64_t at = block.index(); at < batch.work; at += block.blocks()) {
      const ColumnsItem& item = batch.item[at];
      block.ForEach([&](uint32_t thread) {
        if (thread == 0) shared.bad = 0;
      });
      block.ForEach([&](uint32_t thread) {
        for (uint32_t j = thread; j < item.k; j += kThreads) {
          const double squared = item.r[static_cast<uint64_t>(j) * item.k + j];
          if (!(squared > kLeastSquaredNorm)) block.AtomicOr(&shared.bad, 1u);
          shared.norm[j] = sqrt(squared);
        }
      });
      for (uint32_t first = 0; first < item.k && shared.bad == 0; first += kPanel) {
        Panel(block, item, first);
      }
      block.ForEach([&](uint32_t thread) {
        if (thread == 0) status[at] = shared.bad;
        if (shared.bad == 0) Finish(thread, item, shared);
      });
    }
  }

  template <class Block>
  TF_KERNEL void Panel(Block& block, const ColumnsItem& item, uint32_t first) const {
    auto& shared = block.template shared<Shared>();
    const uint32_t k = item.k, height = k - first < kPanel ? k - first : kPanel;
    double* const rows = item.r + static_cast<uint64_t>(first) * k;
    block.ForEach([&](uint32_t thread) {
      for (uint32_t j = first + thread; j < k; j += kThreads) {
        double sums[kPanel];
        TF_UNROLL
        for (uint32_t p = 0; p < kPanel; p++) {
          sums[p] = 0;
          if (p < height && j >= first + p) {
            sums[p] = rows[static_cast<uint64_t>(p) * k + j] / (shared.norm[first + p] * shared.norm[j]);
          }
        }
        SubtractProducts(item.r + first, k, item.r + j, k, first, height, sums);
        TF_UNROLL
        for (uint32_t p = 0; p < kPanel; p++) {
          if (p < height) rows[static_cast<uint64_t>(p) * k + j] = sums[p];
        }
      }
    });
    Factor(block, rows + first, k, height);
    block.ForEach([&](uint32_t thread) {
      for (uint32_t j = first + thread; j < k; j += kThreads) {
        double sums[kPanel];
        TF_UNROLL
        for (uint32_t p = 0; p < kPanel; p++)
          sums[p] = p < height ? rows[static_cast<uint64_t>(p) * k + j] : 0;
        const uint32_t own = j - first;
        if (own >= height) Substitute(&shared.factor[0][0], kPanel, height, sums);
        TF_UNROLL
        for (uint32_t p = 0; p < kPanel; p++) {
          if (p < height) {
            rows[static_cast<uint64_t>(p) * k + j] = own < height ? shared.factor[p][own] : sums[p];
          }
        }
      }
    });
  }

  /// shared.factor = the upper factor of the diagonal block at `from`.
  template <class Block>
  TF_KERNEL void Factor(Block& block, const double* from, uint32_t k, uint32_t height) const {
    auto& shared = block.template shared<Shared>();
    block.ForEach([&](uint32_t thread) {
      const uint32_t p = thread / kPanel, q = thread % kPanel;
      if (thread >= kPanel * kPanel) return;
      shared.block[p][q] = p <= q && q < height ? from[static_cast<uint64_t>(p) * k + q] : 0;
      shared.factor[p][q] = 0;
    });
    for (uint32_t p = 0; p < height; p++) {
      block.ForEach([&](uint32_t q) {
        if (q < p || q >= height) return;
        double pivot = shared.block[p][p], sum = shared.block[p][q];
        for (uint32_t i = 0; i < p; i++) {
          pivot = fma(-shared.factor[i][p], shared.factor[i][p], pivot);
          sum = fma(-shared.factor[i][p], shared.factor[i][q], sum);
        }
        if (q == p && !(pivot > least)) block.AtomicOr(&shared.bad, 1u);
        shared.factor[p][q] = sum / sqrt(pivot);
      });
    }
  }

  TF_KERNEL static void Finish(uint32_t thread, const ColumnsItem& item, const Shared& shared) {
    for (uint32_t j = thread; j < item.k; j += kThreads) {
      double* column = item.r + j;
      for (uint32_t i = 0; i < item.k; i++, column += item.k) *column = i <= j ? *column * shared.norm[j] : 0;
    }
  }
};

/// A thread solves one column, panel by panel; it reads nothing that another writes.
struct SolveBody {
  static constexpr Tuning kTuning = kSolveTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  struct Shared {};

  Batch<ColumnsItem> batch;

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    for (uint64_t at = block.index(); at < batch.work; at += block.blocks()) {
      const ColumnsItem& item = batch.Of(at);
      const uint64_t first = (at - item.first_item) * kThreads;
      block.ForEach([&](uint32_t thread) {
        if (first + thread < item.n) Column(item, first + thread);
      });
    }
  }

  TF_KERNEL static void Column(const ColumnsItem& item, uint64_t column) {
    for (uint32_t first = 0; first < item.k; first += kPanel) {
      const uint32_t height = item.k - first < kPanel ? item.k - first : kPanel;
      double* own = item.s + first * item.n + column;
      double sums[kPanel];
      TF_UNROLL
      for (uint32_t p = 0; p < kPanel; p++) sums[p] = p < height ? own[p * item.n] : 0;
      const double* r = item.r + first;
      // Whole panels are the rule; with the height known nothing is asked inside.
      if (height == kPanel) {
        SubtractProducts(r, item.k, item.s + column, item.n, first, kPanel, sums);
        Substitute(r + static_cast<uint64_t>(first) * item.k, item.k, kPanel, sums);
      } else {
        SubtractProducts(r, item.k, item.s + column, item.n, first, height, sums);
        Substitute(r + static_cast<uint64_t>(first) * item.k, item.k, height, sums);
      }
      TF_UNROLL
      for (uint32_t p = 0; p < kPanel; p++) {
        if (p >= height) continue;
        own[p * item.n] = sums[p];
        if (item.narrow != nullptr) {
          item.narrow[(first + p) * item.n + column] = static_cast<float>(sums[p]);
        }
      }
    }
  }
};

}  // namespace taskfold::cuda
