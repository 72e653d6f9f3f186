#pragma once
#include <string_view>

#include "backend/backend.h"
#include "cpu/simd_targets.h"

namespace taskfold {

/// The CPU's table for the best SIMD target of this machine, or the one set by SetSimdTarget.
const TfBackend& CpuBackend();
SimdTarget CurrentSimdTarget();
/// For tests: forces a target for the whole process. False when this machine cannot run it.
bool SetSimdTarget(std::string_view name);

}  // namespace taskfold
