#include "ops/matrix_blocks.h"

#include <cmath>

#include "backend/registry.h"
#include "ops/operand_reader.h"
#include "ops/require_finite.h"

namespace taskfold {
namespace {

// Converted and subtracted while it lies in the cache.
constexpr size_t kPiece = 8192;
// A block of rows as f32: BLAS needs many rows at once (each block updates a whole sketch), the cache few.
constexpr size_t kBlockElements = size_t{1} << 19;
constexpr size_t kLeastRows = 64, kMostRows = 512;
// More groups serve more threads and cost a sketch each.
constexpr size_t kMostGroups = 16, kLeastGroups = 2;
constexpr size_t kGroupBytes = size_t{128} << 20;

/// Raw elements [first, first + n) of an operand.
const uint8_t* ReadRaw(const Operand& operand, uint64_t first, size_t n, Scratch& scratch, size_t slot) {
  const size_t item = ItemSize(operand.dtype);
  return ReadAligned(operand.region, first * item, n * item, scratch.Get(slot, n * item));
}

/// Widens elements [first, first + n) of an operand.
void Widen(const Operand& operand, uint64_t first, size_t n, float* to, Scratch& scratch, size_t slot) {
  ActiveBackend().widen(static_cast<int32_t>(operand.dtype), n, ReadRaw(operand, first, n, scratch, slot),
                        to);
}

/// out = elements [first, first + n) of the matrix, less those of `minus`. False: one is not finite.
bool Subtract(const MatrixSource& source, uint64_t first, size_t n, float* out, Scratch& scratch,
              size_t slot) {
  const TfBackend& backend = ActiveBackend();
  const Dtype dtype = source.matrix.dtype;
  if (source.minus && source.minus->dtype != dtype) {
    float* minus = scratch.Array<float>(slot + 1, n);
    Widen(source.matrix, first, n, out, scratch, slot);
    Widen(*source.minus, first, n, minus, scratch, slot);
    return backend.difference(static_cast<int32_t>(Dtype::kF32), n, out, minus, out) != 0;
  }
  const uint8_t* task = ReadRaw(source.matrix, first, n, scratch, slot);
  const uint8_t* minus = source.minus ? ReadRaw(*source.minus, first, n, scratch, slot + 1) : nullptr;
  return backend.difference(static_cast<int32_t>(dtype), n, task, minus, out) != 0;
}

/// In eight sums, so that the additions of neighbours do not wait for each other.
double SquaredNorm(const float* values, size_t n) {
  double sum[8] = {};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t lane = 0; lane < 8; lane++) {
      const auto x = static_cast<double>(values[i + lane]);
      sum[lane] += x * x;
    }
  }
  for (; i < n; i++) sum[0] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/// The difference is not finite at `at`: says which operand is to blame.
[[noreturn]] void ThrowDifference(const MatrixSource& source, uint64_t first, size_t at, size_t n,
                                  Scratch& scratch, size_t slot) {
  float* wide = scratch.Array<float>(slot, n);
  Widen(source.matrix, first, n, wide, scratch, slot + 1);
  RequireFinite(source.name, "matrix", wide, first, n);
  if (source.minus) {
    Widen(*source.minus, first, n, wide, scratch, slot + 1);
    RequireFinite(source.name, "minus", wide, first, n);
  }
  throw Error("NON_FINITE",
              source.name + "[" + std::to_string(first + at) + "]: the difference is more than f32 can hold")
      .Tensor(source.name)
      .Operand("matrix")
      .Index(static_cast<int64_t>(first + at));
}

}  // namespace

const float* ReadRows(const MatrixSource& source, size_t first, size_t rows, double* squared_norm,
                      Scratch& scratch, size_t slot, RunControl& control) {
  const size_t total = rows * source.columns;
  float* block = scratch.Array<float>(slot, total);
  const uint64_t start = static_cast<uint64_t>(first) * source.columns;
  for (size_t done = 0; done < total; done += kPiece) {
    control.ThrowIfCancelled();
    const size_t n = std::min(kPiece, total - done);
    float* piece = block + done;
    if (!Subtract(source, start + done, n, piece, scratch, slot + 1)) {
      ThrowDifference(source, start + done, FirstNonFinite(piece, n), n, scratch, slot + 1);
    }
    if (squared_norm) *squared_norm += SquaredNorm(piece, n);
    if (source.scale != 1) {
      for (size_t i = 0; i < n; i++) piece[i] *= source.scale;
    }
  }
  const size_t item = ItemSize(source.matrix.dtype) + (source.minus ? ItemSize(source.minus->dtype) : 0);
  control.AddProgress(total * item);
  return block;
}

RowPartition::RowPartition(size_t rows, size_t columns, size_t sketch_columns) {
  block_rows = std::clamp(kBlockElements / std::max<size_t>(1, columns), kLeastRows, kMostRows);
  blocks = (rows + block_rows - 1) / block_rows;
  const size_t affordable = kGroupBytes / std::max<size_t>(1, columns * sketch_columns * sizeof(float));
  groups = std::min(blocks, std::clamp(affordable, kLeastGroups, kMostGroups));
}

}  // namespace taskfold
