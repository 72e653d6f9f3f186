#include "ops/finite_residual.h"

#include <cmath>

#include "backend/registry.h"
#include "core/error.h"
#include "core/float_convert.h"

namespace taskfold {
namespace {

template <Dtype kDtype>
[[noreturn]] void Refuse(const ResidualPlace& place, size_t n, const void* task_bytes,
                         const void* merged_bytes) {
  using Raw = typename Storage<kDtype>::Raw;
  const auto* task = static_cast<const Raw*>(task_bytes);
  const auto* merged = static_cast<const Raw*>(merged_bytes);
  const std::string& name = *place.tensor;
  for (size_t i = 0; i < n; i++) {
    const float value = Storage<kDtype>::Widen(task[i]), star = Storage<kDtype>::Widen(merged[i]);
    if (std::isfinite(value - star)) continue;
    const bool own = !std::isfinite(value) || std::isfinite(star);
    const std::string operand = place.task == kOnlyTask ? "task" : std::to_string(place.task);
    const std::string where = name + "[" + std::to_string(place.first + i) + "]";
    throw Error("NON_FINITE", (own ? "NaN or infinity at " : "θ* is not a finite number at ") + where)
        .Tensor(name)
        .Operand(own ? operand : "merged")
        .Index(static_cast<int64_t>(place.first + i))
        .Hint("repair the checkpoint, or use codec exact and keep such entries with --non-finite keep");
  }
  throw Error("INTERNAL", "a NaN was seen in " + name + " and not found again").Tensor(name);
}

/// Eight independent sums, added pairwise at the end.
template <class Term>
double SumInLanes(const float* x, size_t n, const Term& term) {
  constexpr size_t kLanes = 8;
  double sums[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; lane++) sums[lane] += term(x[i + lane]);
  }
  for (; i < n; i++) sums[i % kLanes] += term(x[i]);
  for (size_t width = kLanes / 2; width > 0; width /= 2) {
    for (size_t lane = 0; lane < width; lane++) sums[lane] += sums[lane + width];
  }
  return sums[0];
}

}  // namespace

void FiniteResidual(const ResidualPlace& place, size_t n, const void* task, const void* merged, float* u) {
  if (ActiveBackend().difference(static_cast<int32_t>(place.dtype), n, task, merged, u)) return;
  VisitDtype(place.dtype, [&]<Dtype kDtype>() { Refuse<kDtype>(place, n, task, merged); });
}

double SumOfSquares(const float* x, size_t n) {
  return SumInLanes(x, n, [](float v) { return static_cast<double>(v) * static_cast<double>(v); });
}

double SumOfMagnitudes(const float* x, size_t n) {
  return SumInLanes(x, n, [](float v) { return static_cast<double>(std::fabs(v)); });
}

}  // namespace taskfold
