#pragma once
// What the entries check of their jobs.
#include <cstdint>

#include "core/dtype.h"

namespace taskfold::cuda {

inline bool IsDtype(int32_t dtype) { return dtype >= 0 && dtype < kDtypeCount; }

/// May whole 16-byte words be read from there? A GPU that reads them elsewhere is lost to the process.
inline bool IsAligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

}  // namespace taskfold::cuda
