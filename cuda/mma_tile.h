#pragma once
// A warp's product of two tiles in shared memory, near f32's accuracy on tensor cores that round their
// factors to TF32 (11 significant bits). Each factor is split into a rounded part and the rounded rest, and
// three of the four products are added up: hi·hi + hi·lo + lo·hi. What is dropped is below 2^-20 of |a|·|b|.
//
// Tensor cores cut their sums off instead of rounding them, which over a long sum is a bias. So one call's
// products are added up inside, and calls are added on the CUDA cores, which round to nearest (Ootomo,
// Yokota, "Recovering single precision accuracy from Tensor Cores while surpassing the FP32 theoretical peak
// performance", 2022).
#include <cstdint>

#include "block.h"
#include "core/float_convert.h"
#include "unroll.h"

#ifdef __CUDACC__
#include <mma.h>
#endif

namespace taskfold::cuda {

/// A tile: kMmaRows × kMmaColumns sums over steps of kMmaDepth.
inline constexpr uint32_t kMmaRows = 16, kMmaColumns = 16, kMmaDepth = 8;

/// The same on the CPU, bits of the factors included: TF32 rounds to nearest, ties away from zero.
template <uint32_t kTiles>
struct HostWarpSums {
  float total[kMmaRows][kTiles * kMmaColumns];

  static float Rounded(float x) { return BitsFloat((FloatBits(x) + 0x1000u) & 0xFFFFE000u); }

  void Clear() {
    for (auto& row : total) {
      for (float& sum : row) sum = 0;
    }
  }
  template <bool kTransposed, uint32_t kDepth>
  void Add(const float* a, uint32_t a_stride, const float* b, uint32_t b_stride, uint32_t tiles) {
    for (uint32_t m = 0; m < kMmaRows; m++) {
      float left[kDepth], left_rest[kDepth];
      for (uint32_t d = 0; d < kDepth; d++) {
        const float x = kTransposed ? a[d * a_stride + m] : a[m * a_stride + d];
        left[d] = Rounded(x);
        left_rest[d] = Rounded(x - left[d]);
      }
      for (uint32_t n = 0; n < tiles * kMmaColumns; n++) {
        float sum = 0;
        for (uint32_t d = 0; d < kDepth; d++) {
          const float x = b[n * b_stride + d], right = Rounded(x), right_rest = Rounded(x - right);
          sum += left_rest[d] * right;
          sum += left[d] * right_rest;
          sum += left[d] * right;
        }
        total[m][n] += sum;
      }
    }
  }
  void Store(float* out, uint64_t stride, uint32_t tiles) const {
    for (uint32_t m = 0; m < kMmaRows; m++) {
      for (uint32_t n = 0; n < tiles * kMmaColumns; n++) out[n * stride + m] = total[m][n];
    }
  }
};

#ifdef __CUDACC__
/// A [kMmaRows × kTiles · kMmaColumns] piece of a product, spread over the registers of a warp. All its lanes
/// call each function together.
template <uint32_t kTiles>
struct DeviceWarpSums {
  using Sum = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, kMmaRows, kMmaColumns, kMmaDepth, float>;
  Sum total[kTiles];

  /// x becomes its rounded part, rest the rounded rest.
  template <class Fragment>
  __device__ static void Split(Fragment& x, Fragment& rest) {
    TF_UNROLL
    for (int i = 0; i < x.num_elements; i++) {
      const float whole = x.x[i];
      x.x[i] = nvcuda::wmma::__float_to_tf32(whole);
      rest.x[i] = nvcuda::wmma::__float_to_tf32(whole - x.x[i]);
    }
  }

  __device__ void Clear() {
    TF_UNROLL
    for (uint32_t t = 0; t < kTiles; t++) nvcuda::wmma::fill_fragment(total[t], 0.0f);
  }
  /// Adds a [kMmaRows × kDepth] · b [kDepth × tiles · kMmaColumns]. a(m, d) at a[m · a_stride + d], or at
  /// a[d · a_stride + m] when kTransposed; b(d, n) at b[n · b_stride + d]. Strides are multiples of 4, both
  /// pointers aligned to 32 bytes.
  template <bool kTransposed, uint32_t kDepth>
  __device__ void Add(const float* a, uint32_t a_stride, const float* b, uint32_t b_stride, uint32_t tiles) {
    namespace wmma = nvcuda::wmma;
    using Layout = std::conditional_t<kTransposed, wmma::col_major, wmma::row_major>;
    using Left =
        wmma::fragment<wmma::matrix_a, kMmaRows, kMmaColumns, kMmaDepth, wmma::precision::tf32, Layout>;
    using Right = wmma::fragment<wmma::matrix_b, kMmaRows, kMmaColumns, kMmaDepth, wmma::precision::tf32,
                                 wmma::col_major>;
    Sum sum[kTiles];
    TF_UNROLL
    for (uint32_t t = 0; t < kTiles; t++) wmma::fill_fragment(sum[t], 0.0f);
    TF_UNROLL
    for (uint32_t d = 0; d < kDepth; d += kMmaDepth) {
      Left left, left_rest;
      wmma::load_matrix_sync(left, a + (kTransposed ? d * a_stride : d), a_stride);
      Split(left, left_rest);
      TF_UNROLL
      for (uint32_t t = 0; t < kTiles; t++) {
        if (t >= tiles) continue;
        Right right, right_rest;
        wmma::load_matrix_sync(right, b + t * kMmaColumns * b_stride + d, b_stride);
        Split(right, right_rest);
        wmma::mma_sync(sum[t], left_rest, right, sum[t]);
        wmma::mma_sync(sum[t], left, right_rest, sum[t]);
        wmma::mma_sync(sum[t], left, right, sum[t]);
      }
    }
    TF_UNROLL
    for (uint32_t t = 0; t < kTiles; t++) {
      TF_UNROLL
      for (int i = 0; i < sum[t].num_elements; i++) total[t].x[i] += sum[t].x[i];
    }
  }
  /// out[n · stride + m]; stride is a multiple of 4, out aligned to 32 bytes.
  __device__ void Store(float* out, uint64_t stride, uint32_t tiles) const {
    TF_UNROLL
    for (uint32_t t = 0; t < kTiles; t++) {
      if (t >= tiles) continue;
      nvcuda::wmma::store_matrix_sync(out + t * kMmaColumns * stride, total[t], static_cast<unsigned>(stride),
                                      nvcuda::wmma::mem_col_major);
    }
  }
};
#endif

/// The sums of a block's warps: WarpSums<Block, kTiles> sums(block); sums[warp].Add(…).
template <class Block, uint32_t kTiles, bool kOnDevice = Block::kOnDevice>
class WarpSums {
 public:
  explicit WarpSums(const Block&) : sums_(Block::threads() / 32) {}
  HostWarpSums<kTiles>& operator[](uint32_t warp) { return sums_[warp]; }

 private:
  std::vector<HostWarpSums<kTiles>> sums_;
};
#ifdef __CUDACC__
template <class Block, uint32_t kTiles>
class WarpSums<Block, kTiles, true> {
 public:
  __device__ explicit WarpSums(const Block&) {}
  __device__ DeviceWarpSums<kTiles>& operator[](uint32_t) { return sums_; }

 private:
  DeviceWarpSums<kTiles> sums_;
};
#endif

}  // namespace taskfold::cuda
