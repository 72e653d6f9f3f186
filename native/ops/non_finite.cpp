#include "ops/non_finite.h"

#include <cmath>

#include "core/error.h"
#include "core/float_convert.h"

namespace taskfold {
namespace {

template <Dtype kDtype>
float ValueAt(const void* bytes, size_t i) {
  return bytes ? Storage<kDtype>::Widen(static_cast<const typename Storage<kDtype>::Raw*>(bytes)[i]) : 0.0f;
}

/// What is NaN at one element: an operand's name as binding-types.ts has it, or "" when nothing is.
template <Dtype kDtype>
std::string NonFiniteOperand(const NonFiniteSources& sources, size_t i) {
  const float merged = ValueAt<kDtype>(sources.merged, i);
  bool any = std::isnan(merged);
  for (size_t t = 0; t < sources.tasks.size(); t++) {
    const float task = ValueAt<kDtype>(sources.tasks[t], i);
    if (std::isnan(task))
      return sources.first_task == kOnlyTask ? "task" : std::to_string(sources.first_task + t);
    any |= std::isnan(task - merged);
  }
  if (std::isnan(ValueAt<kDtype>(sources.base, i))) return "base";
  return any ? "merged" : "";
}

}  // namespace

void ThrowNonFinite(const std::string& tensor, Dtype dtype, uint64_t first, size_t n,
                    const NonFiniteSources& sources) {
  VisitDtype(dtype, [&]<Dtype kDtype>() {
    for (size_t i = 0; i < n; i++) {
      const std::string operand = NonFiniteOperand<kDtype>(sources, i);
      if (operand.empty()) continue;
      const std::string where = tensor + "[" + std::to_string(first + i) + "]";
      const std::string message = operand == "merged"
                                      ? "the merge is not a number at " + where +
                                            " (two infinities, or more than the storage dtype can hold)"
                                      : "NaN at " + where;
      throw Error("NON_FINITE", message)
          .Tensor(tensor)
          .Operand(operand)
          .Index(static_cast<int64_t>(first + i))
          .Hint("repair the checkpoint, or keep such entries with --non-finite keep");
    }
  });
  throw Error("INTERNAL", "a NaN was seen in " + tensor + " and not found again").Tensor(tensor);
}

}  // namespace taskfold
