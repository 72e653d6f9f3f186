#include "cpu/simd_targets.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace taskfold {
namespace {

#if defined(__x86_64__)
bool HasF16C() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 29));
}
#endif

}  // namespace

const char* SimdTargetName(SimdTarget target) {
  switch (target) {
    case SimdTarget::kSse4:
      return "sse4";
    case SimdTarget::kAvx2:
      return "avx2";
    case SimdTarget::kAvx512:
      return "avx512";
    default:
      return "baseline";
  }
}

std::vector<SimdTarget> AvailableSimdTargets() {
  std::vector<SimdTarget> targets;
#if defined(__x86_64__)
  __builtin_cpu_init();
  // What Highway lets the compiler use for each target; __builtin_cpu_supports also checks the system's
  // register saving.
  const bool sse4 =
      __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("aes");
  const bool avx2 = sse4 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && HasF16C();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  if (avx512) targets.push_back(SimdTarget::kAvx512);
  if (avx2) targets.push_back(SimdTarget::kAvx2);
  if (sse4) targets.push_back(SimdTarget::kSse4);
#endif
  targets.push_back(SimdTarget::kBaseline);
  return targets;
}

}  // namespace taskfold
