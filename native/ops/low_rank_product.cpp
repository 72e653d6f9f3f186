#include "ops/low_rank_product.h"

#include <cmath>

#include "core/thread_pool.h"
#include "linalg/blas.h"
#include "linalg/lapack.h"
#include "ops/operand_reader.h"
#include "ops/svd_signs.h"

namespace taskfold {
namespace {

// Layers are worked on in batches whose f64 copies stay below this, or one by one.
constexpr size_t kBatchBytes = size_t{256} << 20;

void CheckLayer(const ProductLayer& layer) {
  CheckExtents(layer.name, layer.rows, layer.columns);
  for (const LowRankProduct& product : layer.products) {
    CheckProduct(layer.name, layer.rows, layer.columns, product);
  }
  if (layer.keep.has_value() != layer.out_b.has_value() ||
      layer.keep.has_value() != layer.out_a.has_value()) {
    throw Error("INVALID_ARGUMENT", layer.name + ": keep goes with outB and outA, or none of them is given")
        .Tensor(layer.name);
  }
  if (!layer.keep) return;
  CheckOperandLength(layer.name, "outB", layer.out_b->region, layer.rows * *layer.keep, layer.out_b->dtype);
  CheckOperandLength(layer.name, "outA", layer.out_a->region, *layer.keep * layer.columns,
                     layer.out_a->dtype);
  CheckWritable(layer.name, "outB", layer.out_b->region.file().get());
  CheckWritable(layer.name, "outA", layer.out_a->region.file().get());
}

size_t WorkBytes(const ProductLayer& layer) {
  const size_t columns = TotalRank(layer.products) + layer.keep.value_or(0);
  return static_cast<size_t>(layer.rows + layer.columns) * columns * sizeof(double);
}

/// A layer on its way: both sides, then the core's decomposition, cut to what is kept.
struct Work {
  ProductSide side[2];
  linalg::Svd core;
  size_t kept = 0;
};

void DecomposeCore(const ProductLayer& layer, Work& work) {
  const ProductSide& b = work.side[0];
  const ProductSide& a = work.side[1];
  const size_t rows = b.core_rank(), columns = a.core_rank();
  std::vector<double> core(rows * columns);
  linalg::Gemm(rows, columns, b.rank(), 1.0, {b.r().data(), b.rank()}, {a.r().data(), a.rank(), true}, 0.0,
               core.data(), columns);
  if (!layer.keep) {
    work.core.values = linalg::SingularValues(rows, columns, core.data());
    return;
  }
  work.core = linalg::SmallSvd(rows, columns, core.data());
  work.kept = std::min(*layer.keep, work.core.values.size());
  NormalizeSigns(rows, columns, work.core);
}

/// outB = Qb·U·f(Σ), [rows × keep]; components that do not exist are zeros.
void WriteB(const ProductLayer& layer, SvdSplit split, const Work& work, Scratch& scratch) {
  const ProductSide& side = work.side[0];
  const size_t kept = work.kept, available = work.core.values.size(), keep = *layer.keep;
  std::vector<double> m(side.core_rank() * kept);
  for (size_t i = 0; i < side.core_rank(); i++) {
    for (size_t j = 0; j < kept; j++) {
      m[i * kept + j] = work.core.u[i * available + j] * SplitScale(split, work.core.values[j]);
    }
  }
  side.ToOwnColumns(kept, m.data());
  std::vector<double> out(side.extent() * keep);
  linalg::Gemm(side.extent(), kept, side.core_rank(), 1.0, {side.columns(), side.extent(), true},
               {m.data(), kept}, 0.0, out.data(), keep);
  WriteFactorRows({layer.name, "outB", *layer.out_b}, 0, side.extent(), keep, out.data(), keep, scratch, 2);
}

/// outA = f(Σ)·Vᵀ·Qaᵀ, [keep × columns].
void WriteA(const ProductLayer& layer, SvdSplit split, const Work& work, Scratch& scratch) {
  const ProductSide& side = work.side[1];
  const size_t kept = work.kept, keep = *layer.keep;
  std::vector<double> m(side.core_rank() * kept);
  for (size_t i = 0; i < side.core_rank(); i++) {
    for (size_t j = 0; j < kept; j++) {
      m[i * kept + j] = work.core.vt[j * side.core_rank() + i] * SplitScale(split, work.core.values[j]);
    }
  }
  side.ToOwnColumns(kept, m.data());
  std::vector<double> out(keep * side.extent());
  linalg::Gemm(kept, side.extent(), side.core_rank(), 1.0, {m.data(), kept, true},
               {side.columns(), side.extent()}, 0.0, out.data(), side.extent());
  WriteFactorRows({layer.name, "outA", *layer.out_a}, 0, keep, side.extent(), out.data(), side.extent(),
                  scratch, 2);
}

/// Layers [first, first + works.size()).
void TruncateBatch(const ProductLayer* layers, std::vector<Work>& works, SvdSplit split,
                   ScratchPerWorker& scratches, RunControl& control) {
  ParallelFor(2 * works.size(), control.threads(), [&](size_t item, unsigned worker) {
    const ProductLayer& layer = layers[item / 2];
    const bool is_b = item % 2 == 0;
    ProductSide& side = works[item / 2].side[item % 2];
    NamingTensor(layer.name, [&] {
      side.Read(layer.name, layer.products, is_b ? ProductSide::Which::kB : ProductSide::Which::kA,
                is_b ? layer.rows : layer.columns, scratches[worker], control);
      side.Orthogonalize();
    });
  });
  ParallelFor(works.size(), control.threads(), [&](size_t item, unsigned) {
    control.ThrowIfCancelled();
    NamingTensor(layers[item].name, [&] { DecomposeCore(layers[item], works[item]); });
  });
  ParallelFor(2 * works.size(), control.threads(), [&](size_t item, unsigned worker) {
    const ProductLayer& layer = layers[item / 2];
    if (!layer.keep) return;
    control.ThrowIfCancelled();
    NamingTensor(layer.name, [&] {
      (item % 2 == 0 ? WriteB : WriteA)(layer, split, works[item / 2], scratches[worker]);
    });
  });
}

}  // namespace

std::vector<std::vector<double>> TruncateProducts(const std::vector<ProductLayer>& layers, SvdSplit split,
                                                  RunControl& control) {
  control.ThrowIfCancelled();
  for (const ProductLayer& layer : layers) CheckLayer(layer);
  std::vector<std::vector<double>> values;
  ScratchPerWorker scratches(control.threads());
  for (size_t first = 0; first < layers.size();) {
    size_t end = first, bytes = 0;
    do {
      bytes += WorkBytes(layers[end++]);
    } while (end < layers.size() && bytes + WorkBytes(layers[end]) <= kBatchBytes);
    std::vector<Work> works(end - first);
    TruncateBatch(layers.data() + first, works, split, scratches, control);
    for (Work& work : works) values.push_back(std::move(work.core.values));
    first = end;
  }
  return values;
}

}  // namespace taskfold
