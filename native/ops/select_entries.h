#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/run_control.h"
#include "ops/selection.h"

namespace taskfold {

/// Elements whose positions fit in 32 bits.
constexpr uint64_t kNarrowElements = uint64_t{1} << 32;

struct SelectedEntries {
  Threshold threshold;
  /// Flat positions, ascending: up to kNarrowElements elements in `positions`, above in `wide_positions`.
  std::vector<uint32_t> positions;
  std::vector<double> wide_positions;
  /// The task's own items at these positions.
  std::vector<uint8_t> values;
};

/// The k entries of largest |task − merged| (or |task|) of one tensor, in memory. Ties go to the lower
/// position.
SelectedEntries SelectEntries(uint64_t elements, Dtype dtype, const Operand& task,
                              const std::optional<Region>& merged, uint64_t k, bool keep_non_finite,
                              RunControl& control);

/// target[positions[i]] = values[i]; INVALID_ARGUMENT for a position that is not below target's item count.
void ScatterEntries(uint8_t* target, uint64_t items, size_t item_size, const std::vector<uint64_t>& positions,
                    const uint8_t* values);

}  // namespace taskfold
