#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"

namespace taskfold {

/// The table that ops compute with.
const TfBackend& ActiveBackend();
/// Names of the SIMD targets this machine can run, best first, and the one in use.
std::vector<std::string> SimdTargetNames();
std::string CurrentSimdTargetName();
/// Forces a SIMD target for the whole process (tests). False when this machine cannot run it.
bool ForceSimdTarget(std::string_view name);

}  // namespace taskfold
