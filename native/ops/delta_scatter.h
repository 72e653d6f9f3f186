#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/region.h"
#include "core/run_control.h"
#include "ops/coded_task.h"
#include "ops/delta_decoder.h"
#include "ops/remainder.h"

namespace taskfold {

/// A tensor of a stream codec.
struct CodedRemainder {
  std::shared_ptr<const CodedTask> task;
  size_t tensor = 0;
};

struct ScatterTensor {
  std::string name;
  uint64_t elements = 0;
  Dtype dtype = Dtype::kF32;
  Region merged;
  /// At most one of the two; neither: a plain copy.
  std::optional<DeltaRegions> delta;
  std::optional<CodedRemainder> coded;
  Region out;
  /// The remainder is decoded and checked, and `out` is not used.
  bool discard = false;
};

/// Opens what a tensor has, null when it has neither; the result refers to the arguments.
std::unique_ptr<Remainder> OpenRemainder(const std::string& name, uint64_t elements, Dtype dtype,
                                         const std::optional<DeltaRegions>& delta,
                                         const std::optional<CodedRemainder>& coded);

/// The same for each tensor of a job; errors name the tensor.
template <class Tensor>
std::vector<std::unique_ptr<Remainder>> OpenRemainders(const std::vector<Tensor>& tensors) {
  std::vector<std::unique_ptr<Remainder>> remainders;
  for (const Tensor& tensor : tensors) {
    NamingTensor(tensor.name, [&] {
      remainders.push_back(
          OpenRemainder(tensor.name, tensor.elements, tensor.dtype, tensor.delta, tensor.coded));
    });
  }
  return remainders;
}

/// out = merged with the task's remainder applied; without one a copy. In parallel over blocks.
void ScatterTensors(const std::vector<ScatterTensor>& tensors, RunControl& control);

}  // namespace taskfold
