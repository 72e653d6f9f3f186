#pragma once
#include <optional>
#include <string>
#include <vector>

#include "ops/delta_scatter.h"

namespace taskfold {

struct CompareTensor {
  std::string name;
  uint64_t elements = 0;
  Dtype dtype = Dtype::kF32;
  Region merged;
  std::optional<DeltaRegions> delta;
  std::optional<CodedRemainder> coded;
  /// The original θt, converted to dtype before comparing.
  Operand against;
};

/// θ̂t as materialised against θt. Squared sums in f64; infinities and NaN of equal bits count as no error.
struct TensorDifference {
  uint64_t differing = 0;
  int64_t first_different = -1;
  double max_abs = 0;
  double error_squared = 0;
  double residual_squared = 0;
  double original_squared = 0;
  /// Positions that an exact delta keeps and that differ all the same; 0 for other codecs.
  uint64_t kept_differing = 0;
};

/// Same numbers for any thread count: block sums are added in order.
std::vector<TensorDifference> CompareTensors(const std::vector<CompareTensor>& tensors, RunControl& control);

}  // namespace taskfold
