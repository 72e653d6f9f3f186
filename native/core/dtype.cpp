#include "core/dtype.h"

namespace taskfold {
namespace {
constexpr const char* kNames[kDtypeCount] = {"F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"};
}

const char* DtypeName(Dtype dtype) { return kNames[static_cast<int>(dtype)]; }

bool ParseDtype(std::string_view name, Dtype* dtype) {
  for (int i = 0; i < kDtypeCount; i++) {
    if (name == kNames[i]) {
      *dtype = static_cast<Dtype>(i);
      return true;
    }
  }
  return false;
}

}  // namespace taskfold
