#pragma once
// What the entries check of their jobs.
#include <cstdint>

#include "core/dtype.h"

namespace taskfold::cuda {

inline bool IsDtype(int32_t dtype) { return dtype >= 0 && dtype < kDtypeCount; }

}  // namespace taskfold::cuda
