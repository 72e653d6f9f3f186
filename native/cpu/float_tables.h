#pragma once
#include "core/float_convert.h"

namespace taskfold {

/// The 256 values of an 8-bit float dtype as f32.
template <Dtype kDtype>
inline const float* F8Table() {
  static const struct Table {
    float values[256];
    Table() {
      for (int i = 0; i < 256; i++) values[i] = Storage<kDtype>::Widen(static_cast<uint8_t>(i));
    }
  } table;
  return table.values;
}

}  // namespace taskfold
