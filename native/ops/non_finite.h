#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "core/dtype.h"

namespace taskfold {

/// As `first_task`: the job has one task only.
constexpr size_t kOnlyTask = ~size_t{0};

/// Where a NaN may have come from: values of elements [first, first + n) in the storage dtype; null when
/// there are none.
struct NonFiniteSources {
  const void* base = nullptr;
  const void* merged = nullptr;
  std::span<const void* const> tasks;
  /// Place in the job of tasks[0].
  size_t first_task = 0;
};

/// NON_FINITE at the lowest index where a value or a residual task − merged is NaN. Blames a task's own NaN
/// first, then the base's, then the merge (two infinities, or an overflow of a dtype without them).
[[noreturn]] void ThrowNonFinite(const std::string& tensor, Dtype dtype, uint64_t first, size_t n,
                                 const NonFiniteSources& sources);

}  // namespace taskfold
