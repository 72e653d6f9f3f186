#pragma once
#include <cstdint>
#include <vector>

#include "device/device_set.h"
#include "ops/product_side.h"

namespace taskfold {

/// Sides of a batch of low-rank products in the memory of a lane's device: their R, and products with them.
class DeviceSides {
 public:
  /// out = m · S, [rows × extent] or transposed, of a side that is here.
  struct Product {
    const ProductSide* side = nullptr;
    std::vector<double> m;  ///< [rows × rank]
    size_t rows = 0;
    bool transposed = false;
    std::vector<float> out;
  };

  explicit DeviceSides(Lane& lane) : lane_(lane) {}

  /// Orthogonalizes the sides of a batch, those before forgotten: thin QR without Q by Gram matrix and
  /// Cholesky on the device. Those whose columns are too nearly dependent, more than rows, or more than the
  /// device can take are left as they were.
  void Orthogonalize(const std::vector<ProductSide*>& sides, RunControl& control);
  /// Is a side here, orthogonalized?
  bool Has(const ProductSide& side) const;
  void Multiply(std::vector<Product>& products, RunControl& control);

 private:
  struct Held {
    ProductSide* side;
    uint64_t at;    // of S, in f64 items of its slot
    uint64_t r_at;  // of R
    bool factored;
  };
  const Held* Find(const ProductSide& side) const;
  void Choose(const std::vector<ProductSide*>& sides);

  Lane& lane_;
  std::vector<Held> held_;
  // One piece of device memory for all that a batch has, so that batches of other proportions find room.
  uint64_t s_items_ = 0, r_items_ = 0, out_items_ = 0;
  double* s_ = nullptr;
  double* m_ = nullptr;
  float* out_ = nullptr;
};

}  // namespace taskfold
