#pragma once
// Products of D = scale · (matrix − minus) with a sketch. Both directions are one product: out [outer × k],
// sums over `inner`, with D [outer × inner] forward and its transpose backward. It is cut into tiles and,
// where these do not fill a GPU, along `inner` too; the parts lie in the queue's workspace until CombineBody
// adds them in order.
#include "matrix_quad.h"
#include "mma_tile.h"
#include "tuning.h"

namespace taskfold::cuda {

/// Of a block's tile: kSketchOuter × kSketchColumns sums in steps of kSketchInner. A warp takes kMmaRows rows
/// and all columns, so that narrow sketches leave no warp idle.
inline constexpr uint32_t kSketchOuter = kSketchTuning.threads / 32 * kMmaRows;
inline constexpr uint32_t kSketchColumns = 64;
inline constexpr uint32_t kSketchInner = 32;

/// How a product is cut; of its shape alone.
struct SketchCut {
  uint32_t first_tile;  ///< along outer
  uint32_t tiles;
  uint32_t column_tiles;
  uint32_t splits;       ///< along inner
  uint32_t split_steps;  ///< steps of kSketchInner in each but the last
  uint32_t padded_k;     ///< of the workspace: a multiple of kMmaColumns
  TF_HD uint32_t Items() const { return tiles * column_tiles * splits; }
  TF_HD uint64_t PartElements() const { return static_cast<uint64_t>(padded_k) * tiles * kSketchOuter; }
};

template <bool kBackward>
struct SketchBody {
  static constexpr Tuning kTuning = kSketchTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  static constexpr uint32_t kColumnFragments = kSketchColumns / kMmaColumns;
  // Chosen so that a warp's lanes read a fragment from 32 different banks.
  static constexpr uint32_t kDenseStride = kBackward ? kSketchOuter + 8 : kSketchInner + 4;
  static constexpr uint32_t kDenseRows = kBackward ? kSketchInner : kSketchOuter;
  static constexpr uint32_t kDenseColumns = kBackward ? kSketchOuter : kSketchInner;
  static constexpr uint32_t kVectorStride = kSketchInner + 4;
  struct Shared {
    alignas(32) float dense[kDenseRows * kDenseStride];
    alignas(32) float vectors[kSketchColumns * kVectorStride];
  };
  static constexpr uint32_t kDenseQuads = kDenseRows * kDenseColumns / 4 / kThreads;
  static constexpr uint32_t kVectorQuads = kSketchColumns * kSketchInner / 4 / kThreads;

  DensePiece dense;
  float scale;
  const float* vectors;  // [k] of length inner, vector_stride apart
  uint64_t vector_stride;
  bool vectors_aligned;
  uint32_t k;
  uint32_t inner;
  SketchCut cut;
  float* parts;          // out [splits][padded_k][tiles · kSketchOuter]
  double* squares;       // out [splits × tiles], Σ (D / scale)² of each tile, or null
  uint64_t* not_finite;  // or null; with squares only

  /// What a thread loads of one step while the block still works on the step before.
  struct Fetched {
    DensePiece::Raw dense[kDenseQuads];
    Quad vectors[kVectorQuads];
  };
  TF_KERNEL void Fetch(uint32_t thread, uint32_t outer, uint32_t at, uint32_t column,
                       Fetched& fetched) const {
    TF_UNROLL
    for (uint32_t q = 0; q < kDenseQuads; q++) {
      const uint32_t quad = q * kThreads + thread;
      const uint32_t row = quad / (kDenseColumns / 4), offset = quad % (kDenseColumns / 4) * 4;
      fetched.dense[q] =
          kBackward ? dense.Load(at + row, outer + offset) : dense.Load(outer + row, at + offset);
    }
    TF_UNROLL
    for (uint32_t q = 0; q < kVectorQuads; q++) {
      const uint32_t quad = q * kThreads + thread;
      const uint32_t vector = column + quad / (kSketchInner / 4);
      const uint32_t first = at + quad % (kSketchInner / 4) * 4;
      uint32_t count = 0;
      if (vector < k && first < inner) count = inner - first < 4 ? inner - first : 4;
      fetched.vectors[q] =
          LoadQuad(vectors, static_cast<uint64_t>(vector) * vector_stride + first, count, 4, vectors_aligned);
    }
  }

  /// Widens what was loaded into shared memory. Squares of f32 cannot overflow in f64, so their sum also
  /// tells whether all were finite.
  TF_KERNEL void Put(uint32_t thread, const Fetched& fetched, Shared& shared, double& seen) const {
    TF_UNROLL
    for (uint32_t q = 0; q < kDenseQuads; q++) {
      const uint32_t quad = q * kThreads + thread;
      const uint32_t row = quad / (kDenseColumns / 4), offset = quad % (kDenseColumns / 4) * 4;
      float difference[4];
      dense.Difference(fetched.dense[q], difference);
      TF_UNROLL
      for (uint32_t i = 0; i < 4; i++) {
        const float x = difference[i];
        if (squares != nullptr) seen += static_cast<double>(x) * static_cast<double>(x);
        shared.dense[row * kDenseStride + offset + i] = scale * x;
      }
    }
    TF_UNROLL
    for (uint32_t q = 0; q < kVectorQuads; q++) {
      const uint32_t quad = q * kThreads + thread;
      const uint32_t vector = quad / (kSketchInner / 4), offset = quad % (kSketchInner / 4) * 4;
      TF_UNROLL
      for (uint32_t i = 0; i < 4; i++) {
        shared.vectors[vector * kVectorStride + offset + i] = BitsFloat(fetched.vectors[q].word[i]);
      }
    }
  }

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    auto& shared = block.template shared<Shared>();
    typename Block::template PerThread<Fetched> fetched(block);
    typename Block::template PerThread<double> seen(block);
    WarpSums<Block, kColumnFragments> sums(block);
    const uint32_t steps = (inner + kSketchInner - 1) / kSketchInner;
    for (uint32_t item = block.index(); item < cut.Items(); item += block.blocks()) {
      // Neighbours share a tile of D, which the second one then finds in the cache.
      const uint32_t column_tile = item % cut.column_tiles;
      const uint32_t tile = item / cut.column_tiles % cut.tiles, split = item / cut.column_tiles / cut.tiles;
      const uint32_t outer = (cut.first_tile + tile) * kSketchOuter;
      const uint32_t column = column_tile * kSketchColumns;
      const uint32_t left = (k - column + kMmaColumns - 1) / kMmaColumns;
      const uint32_t fragments = left < kColumnFragments ? left : kColumnFragments;
      const uint32_t first = split * cut.split_steps;
      const uint32_t end = first + cut.split_steps < steps ? first + cut.split_steps : steps;
      block.ForEach([&](uint32_t thread) {
        seen[thread] = 0;
        Fetch(thread, outer, first * kSketchInner, column, fetched[thread]);
      });
      block.ForEachWarp([&](uint32_t warp) { sums[warp].Clear(); });
      for (uint32_t step = first; step < end; step++) {
        block.ForEach([&](uint32_t thread) {
          Put(thread, fetched[thread], shared, seen[thread]);
          if (step + 1 < end) Fetch(thread, outer, (step + 1) * kSketchInner, column, fetched[thread]);
        });
        block.ForEachWarp([&](uint32_t warp) {
          const float* mine = shared.dense + warp * kMmaRows * (kBackward ? 1 : kDenseStride);
          sums[warp].template Add<kBackward, kSketchInner>(mine, kDenseStride, shared.vectors, kVectorStride,
                                                           fragments);
        });
      }
      block.ForEachWarp([&](uint32_t warp) {
        float* part =
            parts + split * cut.PartElements() + static_cast<uint64_t>(column) * cut.tiles * kSketchOuter;
        sums[warp].Store(part + tile * kSketchOuter + warp * kMmaRows, cut.tiles * kSketchOuter, fragments);
      });
      if (squares != nullptr && column_tile == 0) Report(block, seen, split * cut.tiles + tile);
    }
  }

  template <class Block, class PerThreadSum>
  TF_KERNEL void Report(Block& block, PerThreadSum& seen, uint64_t at) const {
    const double all = block.Sum(seen);
    block.ForEach([&](uint32_t thread) {
      if (thread != 0) return;
      squares[at] = all;
      if (not_finite != nullptr && !(all - all == 0)) block.AtomicOr(not_finite, uint64_t{1});
    });
  }
};

/// Adds up the parts of a product, in order, in f64. Part: float or double.
template <class Part>
struct CombineBody {
  static constexpr Tuning kTuning = kCombineTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  struct Shared {};

  const Part* parts;  // [splits][…][part_stride]
  uint32_t splits;
  uint64_t part_elements;
  uint64_t part_stride;
  uint32_t k;
  uint64_t extent;  // outer elements that exist
  // Outputs of vector j, element i, or null: out[j · out_stride + i].
  float* narrow;
  double* wide;
  double* added;
  uint64_t out_stride;

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    const uint64_t stride = static_cast<uint64_t>(block.blocks()) * kThreads, all = k * extent;
    block.ForEach([&](uint32_t thread) {
      for (uint64_t e = static_cast<uint64_t>(block.index()) * kThreads + thread; e < all; e += stride) {
        const uint64_t vector = e / extent, i = e % extent;
        const Part* part = parts + vector * part_stride + i;
        double sum = 0;
        for (uint32_t s = 0; s < splits; s++) sum += static_cast<double>(part[s * part_elements]);
        const uint64_t at = vector * out_stride + i;
        if (narrow != nullptr) narrow[at] = static_cast<float>(sum);
        if (wide != nullptr) wide[at] = sum;
        if (added != nullptr) added[at] += sum;
      }
    });
  }
};

/// *total += values[0 … count), in an order that depends on count alone. One block.
struct AddUpBody {
  static constexpr Tuning kTuning = kCombineTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  struct Shared {};

  const double* values;
  uint64_t count;
  double* total;

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    typename Block::template PerThread<double> sum(block);
    block.ForEach([&](uint32_t thread) {
      double mine = 0;
      for (uint64_t i = thread; i < count; i += kThreads) mine += values[i];
      sum[thread] = mine;
    });
    const double all = block.Sum(sum);
    block.ForEach([&](uint32_t thread) {
      if (thread == 0) *total += all;
    });
  }
};

}  // namespace taskfold::cuda
