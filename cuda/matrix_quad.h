#pragma once
// Four neighbouring elements of a matrix in any dtype, loaded at once where they lie aligned. The dtype is a
// number at run time: a switch over four elements is little beside the products with a sketch, and kernels
// for all pairs of dtypes would be megabytes.
#include <cstdint>

#include "block.h"
#include "core/dtype.h"
#include "core/float_convert.h"
#include "unroll.h"

namespace taskfold::cuda {

/// As loaded, so that the load need not be waited for where it is issued. Unused words are 0.
struct Quad {
  uint32_t word[4];
};

TF_KERNEL inline uint32_t QuadItem(int32_t dtype) {
  return dtype == static_cast<int32_t>(Dtype::kF32) ? 4 : dtype <= static_cast<int32_t>(Dtype::kBF16) ? 2 : 1;
}

/// `count` ≤ 4 elements from `base[index]` on, zeros behind them. `aligned`: index · item is a multiple of
/// 4 · item and the base aligned to 16 bytes.
TF_KERNEL inline Quad LoadQuad(const void* base, uint64_t index, uint32_t count, uint32_t item,
                               bool aligned) {
  Quad quad = {{0, 0, 0, 0}};
  if (count == 0) return quad;
  const uint8_t* at = static_cast<const uint8_t*>(base) + index * item;
  if (aligned && count == 4) {
    struct alignas(8) Pair {
      uint32_t word[2];
    };
    if (item == 4) {
      const auto all = *reinterpret_cast<const Vec16<uint32_t>*>(at);
      for (uint32_t i = 0; i < 4; i++) quad.word[i] = all.item[i];
    } else if (item == 2) {
      const Pair pair = *reinterpret_cast<const Pair*>(at);
      quad.word[0] = pair.word[0];
      quad.word[1] = pair.word[1];
    } else {
      quad.word[0] = *reinterpret_cast<const uint32_t*>(at);
    }
    return quad;
  }
  TF_UNROLL
  for (uint32_t i = 0; i < 4; i++) {
    if (i >= count) continue;
    if (item == 4) {
      quad.word[i] = reinterpret_cast<const uint32_t*>(at)[i];
    } else if (item == 2) {
      quad.word[i / 2] |= static_cast<uint32_t>(reinterpret_cast<const uint16_t*>(at)[i]) << (i % 2 * 16);
    } else {
      quad.word[0] |= static_cast<uint32_t>(at[i]) << (i * 8);
    }
  }
  return quad;
}

template <Dtype kDtype>
TF_KERNEL inline void WidenQuadOf(const Quad& quad, float* wide) {
  using Raw = typename Storage<kDtype>::Raw;
  constexpr uint32_t kPerWord = 4 / sizeof(Raw);
  TF_UNROLL
  for (uint32_t i = 0; i < 4; i++) {
    const uint32_t word = quad.word[i / kPerWord] >> (i % kPerWord * 8 * sizeof(Raw));
    wide[i] = Storage<kDtype>::Widen(static_cast<Raw>(word));
  }
}

TF_KERNEL inline void WidenQuad(int32_t dtype, const Quad& quad, float* wide) {
  switch (static_cast<Dtype>(dtype)) {
    case Dtype::kF32:
      return WidenQuadOf<Dtype::kF32>(quad, wide);
    case Dtype::kF16:
      return WidenQuadOf<Dtype::kF16>(quad, wide);
    case Dtype::kBF16:
      return WidenQuadOf<Dtype::kBF16>(quad, wide);
    case Dtype::kF8E4M3:
      return WidenQuadOf<Dtype::kF8E4M3>(quad, wide);
    default:
      return WidenQuadOf<Dtype::kF8E5M2>(quad, wide);
  }
}

/// Most rows or columns, so that a place in one fits 32 bits even behind the last tile.
inline constexpr uint64_t kMostExtent = 0x7FFFFFFF;

/// D / scale = matrix − minus, [rows × columns] row-major.
struct DensePiece {
  const void* matrix;
  const void* minus;  // or null
  int32_t dtype;
  int32_t minus_dtype;
  uint32_t rows;
  uint32_t columns;

  struct Raw {
    Quad matrix;
    Quad minus;
  };
  /// Elements [column, column + 4) of a row; zeros outside of the matrix.
  TF_KERNEL Raw Load(uint32_t row, uint32_t column) const {
    uint32_t count = 0;
    if (row < rows && column < columns) count = columns - column < 4 ? columns - column : 4;
    const bool aligned = columns % 4 == 0;
    const uint64_t index = static_cast<uint64_t>(row) * columns + column;
    Raw raw = {};
    raw.matrix = LoadQuad(matrix, index, count, QuadItem(dtype), aligned);
    if (minus != nullptr) raw.minus = LoadQuad(minus, index, count, QuadItem(minus_dtype), aligned);
    return raw;
  }
  TF_KERNEL void Difference(const Raw& raw, float* difference) const {
    WidenQuad(dtype, raw.matrix, difference);
    if (minus == nullptr) return;
    float wide[4];
    WidenQuad(minus_dtype, raw.minus, wide);
    TF_UNROLL
    for (uint32_t i = 0; i < 4; i++) difference[i] = difference[i] - wide[i];
  }
};

}  // namespace taskfold::cuda
