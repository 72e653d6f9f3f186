#pragma once
#include <string>
#include <vector>

#include "core/run_control.h"
#include "ops/product_side.h"

namespace taskfold {

/// A product to add; transposed: it is [columns × rows] and its transpose is added.
struct AddedProduct {
  LowRankProduct product;
  bool transposed = false;
};

/// A dense tensor [rows × columns], row-major, with low-rank products added.
struct AddProductsTensor {
  std::string name;
  uint64_t rows = 0;
  uint64_t columns = 0;
  Operand base;
  std::vector<AddedProduct> products;
  Operand out;  ///< of any dtype; may be the base's own region
};

/// out = round(base + Σ s·B·A): the sum of the products in f32, in their order, then the base, then one
/// rounding. Tiles depend on shapes only, so the bits do not depend on the number of threads. A base that is
/// not finite stays what it is; NaN or infinity in a factor ("b", "a"), or a finite base whose sum is beyond
/// the dtype of the output ("out"), is NON_FINITE. Without products the base is converted.
void AddProducts(const std::vector<AddProductsTensor>& tensors, RunControl& control);

}  // namespace taskfold
