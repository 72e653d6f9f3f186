#include "ops/add_products.h"

#include <cmath>

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "linalg/blas.h"
#include "ops/operand_reader.h"
#include "ops/require_finite.h"
#include "ops/work_list.h"

namespace taskfold {
namespace {

// A tile's sum of products: large enough for BLAS to be quick, small enough for the cache.
constexpr uint64_t kTileElements = uint64_t{1} << 19;
constexpr uint64_t kTileColumns = uint64_t{1} << 16;
// Tensors are worked on in batches whose factors in f32 stay below this, or one by one.
constexpr uint64_t kBatchBytes = uint64_t{256} << 20;

enum Slot : size_t { kSum, kBase, kNarrow = kBase + 2, kBack };

/// How a tensor is cut: by its shape alone.
struct Tiling {
  explicit Tiling(const AddProductsTensor& tensor)
      : columns(std::max<uint64_t>(1, std::min(tensor.columns, kTileColumns))),
        rows(std::max<uint64_t>(1, std::min(tensor.rows, kTileElements / columns))),
        across((tensor.columns + columns - 1) / columns),
        down((tensor.rows + rows - 1) / rows) {}
  uint64_t columns, rows;  // of one tile
  uint64_t across, down;   // tiles
};

/// A product's factors as f32, as stored.
struct WideFactors {
  std::vector<float> b, a;
};

uint64_t FactorBytes(const AddProductsTensor& tensor) {
  uint64_t elements = 0;
  for (const AddedProduct& added : tensor.products)
    elements += (tensor.rows + tensor.columns) * added.product.rank;
  return elements * sizeof(float);
}

void CheckTensor(const AddProductsTensor& tensor) {
  CheckExtents(tensor.name, tensor.rows, tensor.columns);
  for (const AddedProduct& added : tensor.products) {
    const bool turned = added.transposed;
    CheckProduct(tensor.name, turned ? tensor.columns : tensor.rows, turned ? tensor.rows : tensor.columns,
                 added.product);
  }
  const uint64_t elements = tensor.rows * tensor.columns;
  CheckOperandLength(tensor.name, "base", tensor.base.region, elements, tensor.base.dtype);
  CheckOperandLength(tensor.name, "out", tensor.out.region, elements, tensor.out.dtype);
  CheckWritable(tensor.name, "out", tensor.out.region.file().get());
}

void ReadFactor(const std::string& tensor, const char* name, const Operand& operand, std::vector<float>& to,
                Scratch& scratch, RunControl& control) {
  to.resize(static_cast<size_t>(operand.region.length() / ItemSize(operand.dtype)));
  for (size_t first = 0; first < to.size(); first += TF_MAX_PIECE) {
    control.ThrowIfCancelled();
    const size_t n = std::min<size_t>(TF_MAX_PIECE, to.size() - first);
    const float* wide = ReadAsFloat(ActiveBackend(), operand, first, n, scratch, kBase);
    RequireFinite(tensor, name, wide, first, n);
    std::copy_n(wide, n, to.data() + first);
    control.AddProgress(n * ItemSize(operand.dtype));
  }
}

/// sum [rows × columns] = Σ s·B·A at rows first_row … and columns first_column ….
void SumProducts(const AddProductsTensor& tensor, const WideFactors* factors, uint64_t first_row, size_t rows,
                 uint64_t first_column, size_t columns, float* sum) {
  float beta = 0;
  for (size_t p = 0; p < tensor.products.size(); p++, beta = 1) {
    const LowRankProduct& product = tensor.products[p].product;
    const float* b = factors[p].b.data();
    const float* a = factors[p].a.data();
    const size_t rank = product.rank;
    const auto scale = static_cast<float>(product.scale);
    if (rank == 0) {  // BLAS would leave the sum unwritten
      if (beta == 0) std::fill_n(sum, rows * columns, 0.0f);
    } else if (tensor.products[p].transposed) {
      linalg::Gemm(rows, columns, rank, scale, {a + first_row, static_cast<size_t>(tensor.rows), true},
                   {b + first_column * rank, rank, true}, beta, sum, columns);
    } else {
      linalg::Gemm(rows, columns, rank, scale, {b + first_row * rank, rank},
                   {a + first_column, static_cast<size_t>(tensor.columns)}, beta, sum, columns);
    }
  }
}

/// Adds the base to n elements from `first` on, rounds and stores them.
void AddBase(const AddProductsTensor& tensor, uint64_t first, size_t n, float* sum, Scratch& scratch) {
  const TfBackend& backend = ActiveBackend();
  const auto dtype = static_cast<int32_t>(tensor.out.dtype);
  const size_t item = ItemSize(tensor.out.dtype);
  const float* base = ReadAsFloat(backend, tensor.base, first, n, scratch, kBase);
  if (tensor.products.empty()) {
    std::copy_n(base, n, sum);
  } else {
    for (size_t i = 0; i < n; i++) sum[i] = base[i] + sum[i];
  }
  uint8_t* narrow = scratch.Get(kNarrow, n * item);
  backend.narrow(dtype, n, sum, narrow);
  float* back = scratch.Array<float>(kBack, n);
  backend.widen(dtype, n, narrow, back);
  for (size_t i = FirstNonFinite(back, n); i < n; i++) {
    if (std::isfinite(base[i]) && !std::isfinite(back[i]))
      ThrowTooLarge(tensor.name, "out", first + i, sum[i], tensor.out.dtype);
  }
  tensor.out.region.Write(first * item, n * item, narrow);
}

void AddTile(const AddProductsTensor& tensor, const WideFactors* factors, uint64_t tile, Scratch& scratch,
             RunControl& control) {
  const Tiling tiling(tensor);
  const uint64_t first_row = tile / tiling.across * tiling.rows;
  const uint64_t first_column = tile % tiling.across * tiling.columns;
  const auto rows = static_cast<size_t>(std::min(tiling.rows, tensor.rows - first_row));
  const auto columns = static_cast<size_t>(std::min(tiling.columns, tensor.columns - first_column));
  float* sum = scratch.Array<float>(kSum, rows * columns);
  SumProducts(tensor, factors, first_row, rows, first_column, columns, sum);
  // A tile of whole rows is one run of memory; of several tiles side by side each row is one.
  const size_t run = tiling.across == 1 ? rows * columns : columns;
  for (size_t start = 0; start < rows * columns; start += run) {
    control.ThrowIfCancelled();
    const uint64_t row = first_row + start / columns;
    for (size_t done = 0; done < run; done += TF_MAX_PIECE) {
      const size_t n = std::min<size_t>(TF_MAX_PIECE, run - done);
      AddBase(tensor, row * tensor.columns + first_column + done, n, sum + start + done, scratch);
      control.AddProgress(n * ItemSize(tensor.base.dtype));
    }
  }
}

void AddBatch(const AddProductsTensor* tensors, size_t count, ScratchPerWorker& scratches,
              RunControl& control) {
  WorkList factor_list, tile_list;
  std::vector<std::vector<WideFactors>> factors(count);
  for (size_t t = 0; t < count; t++) {
    factors[t].resize(tensors[t].products.size());
    factor_list.Add(2 * factors[t].size());
    const Tiling tiling(tensors[t]);
    tile_list.Add(tiling.across * tiling.down);
  }
  ParallelFor(factor_list.items(), control.threads(), [&](size_t item, unsigned worker) {
    const auto [t, place] = factor_list.Find(item);
    const AddProductsTensor& tensor = tensors[t];
    const LowRankProduct& product = tensor.products[place / 2].product;
    WideFactors& wide = factors[t][place / 2];
    const bool is_b = place % 2 == 0;
    NamingTensor(tensor.name, [&] {
      ReadFactor(tensor.name, is_b ? "b" : "a", is_b ? product.b : product.a, is_b ? wide.b : wide.a,
                 scratches[worker], control);
    });
  });
  ParallelFor(tile_list.items(), control.threads(), [&](size_t item, unsigned worker) {
    const auto [t, tile] = tile_list.Find(item);
    const AddProductsTensor& tensor = tensors[t];
    const WideFactors* wide = factors[t].data();
    NamingTensor(tensor.name, [&, tile = tile] { AddTile(tensor, wide, tile, scratches[worker], control); });
  });
}

}  // namespace

void AddProducts(const std::vector<AddProductsTensor>& tensors, RunControl& control) {
  control.ThrowIfCancelled();
  for (const AddProductsTensor& tensor : tensors) CheckTensor(tensor);
  ScratchPerWorker scratches(control.threads());
  for (size_t first = 0; first < tensors.size();) {
    size_t end = first;
    uint64_t bytes = 0;
    do {
      bytes += FactorBytes(tensors[end++]);
    } while (end < tensors.size() && bytes + FactorBytes(tensors[end]) <= kBatchBytes);
    AddBatch(tensors.data() + first, end - first, scratches, control);
    first = end;
  }
}

}  // namespace taskfold
