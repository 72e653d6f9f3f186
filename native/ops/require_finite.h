#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/dtype.h"

namespace taskfold {

/// Index of the first NaN or infinity, n when there is none.
size_t FirstNonFinite(const float* values, size_t n);

/// NON_FINITE when one of the operand's elements [first, first + n) is NaN or infinite; names the lowest.
void RequireFinite(const std::string& tensor, const char* operand, const float* values, uint64_t first,
                   size_t n);

/// NON_FINITE: a result is beyond what the dtype of an output holds.
[[noreturn]] void ThrowTooLarge(const std::string& tensor, const char* operand, uint64_t index, double value,
                                Dtype dtype);

}  // namespace taskfold
