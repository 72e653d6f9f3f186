#include "linalg/extent.h"

#include <string>

#include "core/error.h"

namespace taskfold::linalg {

int Extent(size_t size) {
  if (size > kMaxExtent) {
    throw Error("SIZE_OVERFLOW",
                "a matrix has " + std::to_string(size) + " rows or columns, more than 2^31 - 1");
  }
  return static_cast<int>(size);
}

int Stride(size_t stride) { return Extent(stride == 0 ? 1 : stride); }

}  // namespace taskfold::linalg
