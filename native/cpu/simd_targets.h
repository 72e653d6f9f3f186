#pragma once
#include <string>
#include <vector>

namespace taskfold {

/// Instruction sets that the elementwise kernels are compiled for. kBaseline is what the compiler assumes of
/// every machine: scalar on x86-64, NEON on arm64.
enum class SimdTarget { kBaseline, kSse4, kAvx2, kAvx512 };

/// "baseline", "sse4", "avx2", "avx512".
const char* SimdTargetName(SimdTarget target);
/// What this machine can run, best first.
std::vector<SimdTarget> AvailableSimdTargets();

}  // namespace taskfold
