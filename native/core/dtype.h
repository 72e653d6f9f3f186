#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace taskfold {

/// Floating dtypes the kernels compute with. The numbers cross the backend table: never renumber.
enum class Dtype : int32_t { kF32 = 0, kF16 = 1, kBF16 = 2, kF8E4M3 = 3, kF8E5M2 = 4 };
constexpr int kDtypeCount = 5;

/// Bytes of one element.
constexpr size_t ItemSize(Dtype dtype) {
  return dtype == Dtype::kF32 ? 4 : (dtype == Dtype::kF16 || dtype == Dtype::kBF16) ? 2 : 1;
}

/// The dtype's safetensors name ("F32", "BF16", …).
const char* DtypeName(Dtype dtype);

/// Parses a safetensors name; false when it is none of the five.
bool ParseDtype(std::string_view name, Dtype* dtype);

}  // namespace taskfold
