#include "ops/require_finite.h"

#include <cmath>
#include <cstdio>

#include "core/error.h"
#include "core/float_convert.h"

namespace taskfold {
namespace {

/// Without a branch in the loop: adding one to an exponent of all ones carries into the sign's place.
bool AllFinite(const float* values, size_t n) {
  uint32_t carried = 0;
  for (size_t i = 0; i < n; i++) carried |= (FloatBits(values[i]) & 0x7F800000u) + 0x00800000u;
  return (carried & 0x80000000u) == 0;
}

}  // namespace

size_t FirstNonFinite(const float* values, size_t n) {
  if (AllFinite(values, n)) return n;
  for (size_t i = 0; i < n; i++) {
    if (!std::isfinite(values[i])) return i;
  }
  return n;
}

void RequireFinite(const std::string& tensor, const char* operand, const float* values, uint64_t first,
                   size_t n) {
  const size_t i = FirstNonFinite(values, n);
  if (i == n) return;
  throw Error("NON_FINITE", std::string(std::isnan(values[i]) ? "NaN" : "infinity") + " at " + tensor + "." +
                                operand + "[" + std::to_string(first + i) + "]")
      .Tensor(tensor)
      .Operand(operand)
      .Index(static_cast<int64_t>(first + i))
      .Hint("repair the file that it comes from: only finite numbers can be decomposed or added");
}

void ThrowTooLarge(const std::string& tensor, const char* operand, uint64_t index, double value,
                   Dtype dtype) {
  const bool narrow = dtype != Dtype::kF32 && dtype != Dtype::kBF16;
  char number[32];
  std::snprintf(number, sizeof number, "%.6g", value);
  throw Error("NON_FINITE", tensor + "." + operand + "[" + std::to_string(index) + "] would be " + number +
                                ", more than " + DtypeName(dtype) + " can hold")
      .Tensor(tensor)
      .Operand(operand)
      .Index(static_cast<int64_t>(index))
      .Hint(narrow ? "choose bf16 or f32 for the output" : "look for a wrong scale or damaged values");
}

}  // namespace taskfold
