#include "cpu/cpu_backend.h"

#include <array>
#include <atomic>

#include "cpu/delta_scatter.h"

namespace taskfold {

// Defined by the files that Highway compiles once per target.
void FillTaskVector(SimdTarget target, TfBackend* table);
void FillMagnitudeSelect(SimdTarget target, TfBackend* table);

namespace {

constexpr size_t kTargets = 4;

const std::array<TfBackend, kTargets>& Tables() {
  static const std::array<TfBackend, kTargets> tables = [] {
    std::array<TfBackend, kTargets> filled{};
    for (const SimdTarget target : AvailableSimdTargets()) {
      TfBackend& table = filled[static_cast<size_t>(target)];
      table.abi = TF_BACKEND_ABI;
      table.name = SimdTargetName(target);
      FillTaskVector(target, &table);
      FillMagnitudeSelect(target, &table);
      FillDeltaScatter(&table);
    }
    return filled;
  }();
  return tables;
}

std::atomic<int>& Current() {
  static std::atomic<int> current{static_cast<int>(AvailableSimdTargets().front())};
  return current;
}

}  // namespace

const TfBackend& CpuBackend() {
  return Tables()[static_cast<size_t>(Current().load(std::memory_order_relaxed))];
}

SimdTarget CurrentSimdTarget() { return static_cast<SimdTarget>(Current().load()); }

bool SetSimdTarget(std::string_view name) {
  for (const SimdTarget target : AvailableSimdTargets()) {
    if (name == SimdTargetName(target)) {
      Current().store(static_cast<int>(target));
      return true;
    }
  }
  return false;
}

}  // namespace taskfold
