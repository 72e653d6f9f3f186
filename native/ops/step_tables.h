#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "ops/step_stream.h"

namespace taskfold {

/// Tokens that a tensor's codes take.
struct StepCounts {
  std::array<uint64_t, kNumberTokens> run{}, level{};
  uint64_t elements = 0;
  uint64_t segments = 0;  ///< with entries
  uint64_t entries() const;
  StepCounts& operator+=(const StepCounts& other);
};

/// Pairs of tables, and which one each tensor takes.
struct StepTables {
  std::vector<StepPair> pairs;
  std::vector<uint16_t> number;  ///< [tensors]
  /// Bits of all codes, zeros included, under one memoryless source for each pair: n·H(q), the numbers within
  /// a token and the signs taken as equally likely.
  double entropy_bits = 0;
};

/// Groups tensors so that data, tables and directory together are small: groups are merged greedily while
/// that saves bits, then tensors move once to the pair that suits them best. Deterministic; time ∝ tensors.
StepTables ChooseStepTables(const std::vector<StepCounts>& tensors);

}  // namespace taskfold
