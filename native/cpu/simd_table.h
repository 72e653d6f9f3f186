#pragma once
#include "backend/backend.h"
#include "cpu/simd_targets.h"
#include "hwy/highway.h"

// Our own choice of the SIMD target. Highway's dynamic dispatch would do the same, but needs two functions of
// libhwy.so; without them Highway is headers only and nothing has to be shipped beside the addon.

#if HWY_ARCH_X86
#define TASKFOLD_FILL_FOR_TARGET(Function)             \
  void Function(SimdTarget target, TfBackend* table) { \
    switch (target) {                                  \
      case SimdTarget::kAvx512:                        \
        return N_AVX3::Function(table);                \
      case SimdTarget::kAvx2:                          \
        return N_AVX2::Function(table);                \
      case SimdTarget::kSse4:                          \
        return N_SSE4::Function(table);                \
      default:                                         \
        return HWY_STATIC_DISPATCH(Function)(table);   \
    }                                                  \
  }
#else
#define TASKFOLD_FILL_FOR_TARGET(Function) \
  void Function(SimdTarget, TfBackend* table) { HWY_STATIC_DISPATCH(Function)(table); }
#endif
