#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/run_control.h"
#include "ops/factor_writer.h"
#include "ops/product_side.h"

namespace taskfold {

/// A sum of low-rank products, Σ s·B·A [rows × columns], and where its best rank-`keep` factors go.
struct ProductLayer {
  std::string name;
  uint64_t rows = 0;
  uint64_t columns = 0;
  std::vector<LowRankProduct> products;
  /// Columns of out_b and rows of out_a; components beyond min(rows, columns, Σ rank) are zeros. Absent:
  /// singular values only, and so are the outputs.
  std::optional<size_t> keep;
  std::optional<Operand> out_b;  ///< [rows × keep]
  std::optional<Operand> out_a;  ///< [keep × columns]
};

/// Truncates each layer to the components of largest singular value, without forming it: thin QR of both
/// sides, singular value decomposition of the small core Rb·Raᵀ in f64 (Eckart and Young: no other
/// rank-`keep` matrix is nearer). Signs: the entry of largest magnitude of each left vector of the core is
/// positive. Returns all min(rows, columns, Σ rank) singular values of each layer, descending.
//
/// With control.devices() the QR and the outputs are a GPU's, in f64 as well; layers that need more of it
/// than there is, or whose columns are nearly dependent, stay on the CPU. Results then differ by f64's
/// rounding.
//
/// The same bits for any number of threads. NON_FINITE for NaN and infinity in a factor (operand "b" or "a"),
/// and for a result too large for its dtype ("outB", "outA").
std::vector<std::vector<double>> TruncateProducts(const std::vector<ProductLayer>& layers, SvdSplit split,
                                                  RunControl& control);

}  // namespace taskfold
