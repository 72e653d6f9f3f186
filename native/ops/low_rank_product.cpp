#include "ops/low_rank_product.h"

#include <cmath>

#include "core/thread_pool.h"
#include "device/device_set.h"
#include "linalg/blas.h"
#include "linalg/lapack.h"
#include "ops/device_sides.h"
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

/// Sides that the device leaves are the CPU's.
void OrthogonalizeOn(DeviceSides& device, const ProductLayer* layers, std::vector<Work>& works,
                     RunControl& control) {
  std::vector<ProductSide*> sides;
  for (Work& work : works) sides.insert(sides.end(), {&work.side[0], &work.side[1]});
  device.Orthogonalize(sides, control);
  ParallelFor(sides.size(), control.threads(), [&](size_t item, unsigned) {
    control.ThrowIfCancelled();
    if (device.Has(*sides[item])) return;
    NamingTensor(layers[item / 2].name, [&] { sides[item]->Orthogonalize(); });
  });
}

/// What a side's own columns are multiplied with, [core rank × kept]: Q·U·f(Σ) for B, Q·V·f(Σ) for A.
std::vector<double> OwnFactor(SvdSplit split, const Work& work, bool is_b) {
  const ProductSide& side = work.side[is_b ? 0 : 1];
  const size_t kept = work.kept, available = work.core.values.size(), rows = side.core_rank();
  std::vector<double> m(rows * kept);
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < kept; j++) {
      const double entry = is_b ? work.core.u[i * available + j] : work.core.vt[j * rows + i];
      m[i * kept + j] = entry * SplitScale(split, work.core.values[j]);
    }
  }
  side.ToOwnColumns(kept, m.data());
  return m;
}

/// outB = Qb·U·f(Σ), [rows × keep]; components that do not exist are zeros.
void WriteB(const ProductLayer& layer, SvdSplit split, const Work& work, Scratch& scratch) {
  const ProductSide& side = work.side[0];
  const size_t kept = work.kept, keep = *layer.keep;
  const std::vector<double> m = OwnFactor(split, work, true);
  std::vector<double> out(side.extent() * keep);
  linalg::Gemm(side.extent(), kept, side.core_rank(), 1.0, {side.columns(), side.extent(), true},
               {m.data(), kept}, 0.0, out.data(), keep);
  WriteFactorRows({layer.name, "outB", *layer.out_b}, 0, side.extent(), keep, out.data(), keep, scratch, 2);
}

/// outA = f(Σ)·Vᵀ·Qaᵀ, [keep × columns].
void WriteA(const ProductLayer& layer, SvdSplit split, const Work& work, Scratch& scratch) {
  const ProductSide& side = work.side[1];
  const size_t kept = work.kept, keep = *layer.keep;
  const std::vector<double> m = OwnFactor(split, work, false);
  std::vector<double> out(keep * side.extent());
  linalg::Gemm(kept, side.extent(), side.core_rank(), 1.0, {m.data(), kept, true},
               {side.columns(), side.extent()}, 0.0, out.data(), side.extent());
  WriteFactorRows({layer.name, "outA", *layer.out_a}, 0, keep, side.extent(), out.data(), side.extent(),
                  scratch, 2);
}

/// The same from a product that a device made: zeros where there are more components than that has.
void WriteProduct(const ProductLayer& layer, const DeviceSides::Product& product, Scratch& scratch) {
  const size_t extent = product.side->extent(), keep = *layer.keep, kept = product.rows;
  std::vector<double> out(keep * extent);
  if (product.transposed) {
    for (size_t i = 0; i < extent; i++) {
      for (size_t j = 0; j < kept; j++) out[i * keep + j] = static_cast<double>(product.out[i * kept + j]);
    }
    WriteFactorRows({layer.name, "outB", *layer.out_b}, 0, extent, keep, out.data(), keep, scratch, 2);
  } else {
    std::copy(product.out.begin(), product.out.end(), out.begin());
    WriteFactorRows({layer.name, "outA", *layer.out_a}, 0, keep, extent, out.data(), extent, scratch, 2);
  }
}

/// Products of all sides of a batch that are on the device: item 2 · layer for B, 2 · layer + 1 for A; those
/// without a side are the CPU's.
std::vector<DeviceSides::Product> DeviceProducts(const ProductLayer* layers, const std::vector<Work>& works,
                                                 SvdSplit split, DeviceSides& device, RunControl& control) {
  std::vector<DeviceSides::Product> products;
  std::vector<size_t> items;
  for (size_t item = 0; item < 2 * works.size(); item++) {
    const Work& work = works[item / 2];
    const ProductSide& side = work.side[item % 2];
    if (!layers[item / 2].keep || work.kept == 0 || !device.Has(side)) continue;
    const bool is_b = item % 2 == 0;
    const std::vector<double> m = OwnFactor(split, work, is_b);
    DeviceSides::Product product{&side, std::vector<double>(m.size()), work.kept, is_b, {}};
    for (size_t i = 0; i < side.rank(); i++) {
      for (size_t j = 0; j < work.kept; j++) product.m[j * side.rank() + i] = m[i * work.kept + j];
    }
    products.push_back(std::move(product));
    items.push_back(item);
  }
  device.Multiply(products, control);
  std::vector<DeviceSides::Product> by_item(2 * works.size());
  for (size_t i = 0; i < items.size(); i++) by_item[items[i]] = std::move(products[i]);
  return by_item;
}

/// Layers [first, first + works.size()). `device`: null for the CPU.
void TruncateBatch(const ProductLayer* layers, std::vector<Work>& works, SvdSplit split, DeviceSides* device,
                   ScratchPerWorker& scratches, RunControl& control) {
  const size_t sides = 2 * works.size();
  ParallelFor(sides, control.threads(), [&](size_t item, unsigned worker) {
    const ProductLayer& layer = layers[item / 2];
    const bool is_b = item % 2 == 0;
    ProductSide& side = works[item / 2].side[item % 2];
    NamingTensor(layer.name, [&] {
      side.Read(layer.name, layer.products, is_b ? ProductSide::Which::kB : ProductSide::Which::kA,
                is_b ? layer.rows : layer.columns, scratches[worker], control);
      if (!device) side.Orthogonalize();
    });
  });
  if (device) OrthogonalizeOn(*device, layers, works, control);
  ParallelFor(works.size(), control.threads(), [&](size_t item, unsigned) {
    control.ThrowIfCancelled();
    NamingTensor(layers[item].name, [&] { DecomposeCore(layers[item], works[item]); });
  });
  std::vector<DeviceSides::Product> products(sides);
  if (device) products = DeviceProducts(layers, works, split, *device, control);
  ParallelFor(sides, control.threads(), [&](size_t item, unsigned worker) {
    const ProductLayer& layer = layers[item / 2];
    if (!layer.keep) return;
    control.ThrowIfCancelled();
    NamingTensor(layer.name, [&] {
      if (products[item].side) return WriteProduct(layer, products[item], scratches[worker]);
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
  std::optional<LaneLease> lease;
  std::optional<DeviceSides> device;
  size_t most = kBatchBytes;
  if (control.devices() && !layers.empty()) {
    lease.emplace(control.devices()->Lease(control, 1));
    device.emplace((*lease)[0]);
    // What waits in f64 on the CPU waits on the device as well.
    most = std::min<size_t>(most, (*lease)[0].memory_bytes() / 2);
  }
  for (size_t first = 0; first < layers.size();) {
    size_t end = first, bytes = 0;
    do {
      bytes += WorkBytes(layers[end++]);
    } while (end < layers.size() && bytes + WorkBytes(layers[end]) <= most);
    std::vector<Work> works(end - first);
    TruncateBatch(layers.data() + first, works, split, device ? &*device : nullptr, scratches, control);
    for (Work& work : works) values.push_back(std::move(work.core.values));
    first = end;
  }
  return values;
}

}  // namespace taskfold
