#pragma once
// Products in f64 on the CUDA cores, tile by tile: for Gram matrices, the factors of a truncated product and
// the last pass of a randomized SVD, none of which is large.
#include <cmath>

#include "matrix_quad.h"
#include "tuning.h"

namespace taskfold::cuda {

/// Of a block's tile: rows and columns, and how deep one step is.
inline constexpr uint32_t kWideTile = 32, kWideDepth = 16;
/// Each thread has kWideOwn × kWideOwn sums.
inline constexpr uint32_t kWideOwn = 4;
static_assert(kWideTuning.threads == (kWideTile / kWideOwn) * (kWideTile / kWideOwn),
              "a thread per own sums");

/// out = left [m × depth] · right [depth × n] of one item of a batch, cut like a SketchCut.
template <class Left, class Right, class Out>
struct WideItem {
  Left left;
  Right right;
  Out out;
  uint64_t m, n, depth;
  uint32_t splits;
  uint64_t split_steps;  // steps of kWideDepth in each but the last
  uint32_t symmetric;    // only tiles on and above the diagonal
  uint64_t first_item;   // of all blocks' work
  TF_HD uint64_t RowTiles() const { return (m + kWideTile - 1) / kWideTile; }
  TF_HD uint64_t ColumnTiles() const { return (n + kWideTile - 1) / kWideTile; }
};

/// A batch as a kernel's parameter, which may be 4 KiB.
inline constexpr uint32_t kBatch = 16;
template <class Item>
struct Batch {
  Item item[kBatch];
  uint32_t count;
  uint64_t work;  // of all
  /// The item that piece `at` of the work belongs to.
  TF_KERNEL const Item& Of(uint64_t at) const {
    uint32_t i = 0;
    while (i + 1 < count && at >= item[i + 1].first_item) i++;
    return item[i];
  }
};

/// What a factor is made of: At(row, column), and along which of the two memory runs.
struct WideRows {
  static constexpr bool kAlongColumns = true;
  const double* data;
  uint64_t stride;
  TF_KERNEL double At(uint64_t row, uint64_t column) const { return data[row * stride + column]; }
};
struct WideTransposed {
  static constexpr bool kAlongColumns = false;
  const double* data;
  uint64_t stride;
  TF_KERNEL double At(uint64_t row, uint64_t column) const { return data[column * stride + row]; }
};
struct WideDense {
  static constexpr bool kAlongColumns = true;
  DensePiece dense;
  float scale;
  uint64_t first_column;
  TF_KERNEL double At(uint64_t row, uint64_t column) const {
    // One element a thread: neighbouring threads share the sectors.
    const uint64_t at = row * dense.columns + first_column + column;
    float wide[4], minus[4] = {0, 0, 0, 0};
    WidenQuad(dense.dtype, LoadQuad(dense.matrix, at, 1, QuadItem(dense.dtype), false), wide);
    if (dense.minus != nullptr) {
      WidenQuad(dense.minus_dtype, LoadQuad(dense.minus, at, 1, QuadItem(dense.minus_dtype), false), minus);
    }
    return static_cast<double>(scale * (wide[0] - minus[0]));
  }
};

/// Parts of sums, for CombineBody or MirrorBody: [splits][padded m][padded n].
struct WideParts {
  double* parts;
  uint64_t stride;
  uint64_t elements;
  TF_KERNEL void Put(uint64_t row, uint64_t column, uint64_t split, double sum) const {
    parts[split * elements + row * stride + column] = sum;
  }
};
struct NarrowOut {
  float* out;
  uint64_t row_stride, column_stride;
  TF_KERNEL void Put(uint64_t row, uint64_t column, uint64_t, double sum) const {
    out[row * row_stride + column * column_stride] = static_cast<float>(sum);
  }
};

template <class Item>
struct WideProductBody {
  static constexpr Tuning kTuning = kWideTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  static constexpr uint32_t kOwners = kWideTile / kWideOwn;
  struct Shared {
    // One more a row: threads that fill a column would else meet in one bank.
    double left[kWideDepth][kWideTile + 1];
    double right[kWideDepth][kWideTile + 1];
  };
  struct Sums {
    double sum[kWideOwn][kWideOwn];
  };

  Batch<Item> batch;

  /// tile[d][i] = factor(i, d): zeros outside. `kAlongDepth`: neighbouring threads take neighbouring d.
  template <bool kAlongDepth, class At>
  TF_KERNEL static void Fill(uint32_t thread, uint64_t first, uint64_t extent, uint64_t depth, uint64_t end,
                             double (*tile)[kWideTile + 1], const At& at) {
    TF_UNROLL
    for (uint32_t e = thread; e < kWideTile * kWideDepth; e += kThreads) {
      const uint32_t d = kAlongDepth ? e % kWideDepth : e / kWideTile;
      const uint32_t i = kAlongDepth ? e / kWideDepth : e % kWideTile;
      tile[d][i] = first + i < extent && depth + d < end ? at(first + i, depth + d) : 0.0;
    }
  }

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    auto& shared = block.template shared<Shared>();
    typename Block::template PerThread<Sums> sums(block);
    for (uint64_t at = block.index(); at < batch.work; at += block.blocks()) {
      const Item& item = batch.Of(at);
      const uint64_t own = at - item.first_item, columns = item.ColumnTiles(), rows = item.RowTiles();
      const uint64_t row_tile = own / columns % rows, column_tile = own % columns;
      const uint64_t split = own / columns / rows;
      if (item.symmetric != 0 && row_tile > column_tile) continue;
      const uint64_t row = row_tile * kWideTile, column = column_tile * kWideTile;
      const uint64_t first = split * item.split_steps * kWideDepth;
      const uint64_t most = first + item.split_steps * kWideDepth;
      const uint64_t end = most < item.depth ? most : item.depth;
      block.ForEach([&](uint32_t thread) {
        for (auto& of_row : sums[thread].sum) {
          for (double& sum : of_row) sum = 0;
        }
      });
      for (uint64_t depth = first; depth < end; depth += kWideDepth) {
        block.ForEach([&](uint32_t thread) {
          Fill<decltype(item.left)::kAlongColumns>(
              thread, row, item.m, depth, end, shared.left,
              [&](uint64_t i, uint64_t d) { return item.left.At(i, d); });
          Fill<!decltype(item.right)::kAlongColumns>(
              thread, column, item.n, depth, end, shared.right,
              [&](uint64_t i, uint64_t d) { return item.right.At(d, i); });
        });
        block.ForEach([&](uint32_t thread) { Multiply(thread, shared, sums[thread]); });
      }
      block.ForEach([&](uint32_t thread) {
        TF_UNROLL
        for (uint32_t i = 0; i < kWideOwn; i++) {
          TF_UNROLL
          for (uint32_t j = 0; j < kWideOwn; j++) {
            const uint64_t m = row + thread / kOwners + i * kOwners,
                           n = column + thread % kOwners + j * kOwners;
            if (m < item.m && n < item.n) item.out.Put(m, n, split, sums[thread].sum[i][j]);
          }
        }
      });
    }
  }

  TF_KERNEL static void Multiply(uint32_t thread, const Shared& shared, Sums& sums) {
    const uint32_t row = thread / kOwners, column = thread % kOwners;
    TF_UNROLL
    for (uint32_t d = 0; d < kWideDepth; d++) {
      double left[kWideOwn], right[kWideOwn];
      TF_UNROLL
      for (uint32_t i = 0; i < kWideOwn; i++) {
        left[i] = shared.left[d][row + i * kOwners];
        right[i] = shared.right[d][column + i * kOwners];
      }
      TF_UNROLL
      for (uint32_t i = 0; i < kWideOwn; i++) {
        TF_UNROLL
        for (uint32_t j = 0; j < kWideOwn; j++) sums.sum[i][j] = fma(left[i], right[j], sums.sum[i][j]);
      }
    }
  }
};

}  // namespace taskfold::cuda
