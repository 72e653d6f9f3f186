#include "backend/registry.h"

#include "cpu/cpu_backend.h"  // the registry alone names the backends

namespace taskfold {

const TfBackend& ActiveBackend() { return CpuBackend(); }

std::vector<std::string> SimdTargetNames() {
  std::vector<std::string> names;
  for (const SimdTarget target : AvailableSimdTargets()) names.emplace_back(SimdTargetName(target));
  return names;
}

std::string CurrentSimdTargetName() { return SimdTargetName(CurrentSimdTarget()); }

bool ForceSimdTarget(std::string_view name) { return SetSimdTarget(name); }

}  // namespace taskfold
