#include "ops/factor_writer.h"

#include <cmath>

#include "backend/registry.h"
#include "ops/require_finite.h"

namespace taskfold {
namespace {

constexpr size_t kPiece = 16384;

/// Rounds a piece that lies in `wide` and stores it. Uses the scratch slots slot + 1 and slot + 2.
void StorePiece(const FactorTarget& target, uint64_t first, const float* wide, size_t n, Scratch& scratch,
                size_t slot) {
  const TfBackend& backend = ActiveBackend();
  const auto dtype = static_cast<int32_t>(target.out.dtype);
  const size_t item = ItemSize(target.out.dtype);
  uint8_t* narrow = scratch.Get(slot + 1, kPiece * item);
  float* back = scratch.Array<float>(slot + 2, kPiece);
  backend.narrow(dtype, n, wide, narrow);
  backend.widen(dtype, n, narrow, back);
  const size_t bad = FirstNonFinite(back, n);
  if (bad < n) ThrowTooLarge(target.tensor, target.operand, first + bad, wide[bad], target.out.dtype);
  target.out.region.Write(first * item, n * item, narrow);
}

}  // namespace

double SplitScale(SvdSplit split, double singular_value) {
  return split == SvdSplit::kSqrt ? std::sqrt(singular_value) : 1.0;
}

void WriteFactorRows(const FactorTarget& target, size_t first_row, size_t rows, size_t columns,
                     const double* values, size_t stride, Scratch& scratch, size_t slot) {
  if (columns == 0) return;
  float* wide = scratch.Array<float>(slot, kPiece);
  size_t filled = 0;
  uint64_t first = static_cast<uint64_t>(first_row) * columns;
  const auto store = [&] {
    StorePiece(target, first, wide, filled, scratch, slot);
    first += filled;
    filled = 0;
  };
  for (size_t row = 0; row < rows; row++) {
    const double* from = values + row * stride;
    for (size_t done = 0; done < columns;) {
      const size_t n = std::min(columns - done, kPiece - filled);
      for (size_t i = 0; i < n; i++) wide[filled + i] = static_cast<float>(from[done + i]);
      done += n;
      filled += n;
      if (filled == kPiece) store();
    }
  }
  if (filled > 0) store();
}

}  // namespace taskfold
