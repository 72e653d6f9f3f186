#include "ops/device_sides.h"

#include <algorithm>

namespace taskfold {
namespace {

constexpr size_t kSlot = 0;
// A scaled pivot is the square of what is left of a unit column; below this f64 has lost what it was.
constexpr double kLeastPivot = 1e-14;
// What kernels may take beside the lane's slots, and what rounding up takes.
constexpr uint64_t kWorkspace = uint64_t{16} << 20, kSlack = 65536;

/// Pieces start on borders of 256 bytes.
constexpr uint64_t Rounded(uint64_t items) { return (items + 63) / 64 * 64; }

}  // namespace

void DeviceSides::Choose(const std::vector<ProductSide*>& sides) {
  held_.clear();
  s_items_ = r_items_ = out_items_ = 0;
  const uint64_t lane = lane_.memory_bytes(), most = lane - std::min(lane, kWorkspace + kSlack);
  uint64_t bytes = 0;
  for (ProductSide* side : sides) {
    const size_t extent = side->extent(), rank = side->rank();
    if (rank == 0 || rank > extent || rank > TF_CUDA_MAX_SKETCH) continue;
    // S, R, and what is kept of it: at most all components, so as large as these.
    const uint64_t s = Rounded(extent * rank), r = Rounded(rank * rank);
    const uint64_t mine = s * (sizeof(double) + sizeof(float)) + 2 * r * sizeof(double) + sizeof(uint32_t);
    if (bytes + mine > most) continue;
    bytes += mine;
    held_.push_back({side, s_items_, r_items_, false});
    s_items_ += s;
    r_items_ += r;
    out_items_ += s;
  }
  if (held_.empty()) return;
  s_ = static_cast<double*>(lane_.Get(kSlot, bytes));
  m_ = s_ + s_items_ + r_items_;
  out_ = reinterpret_cast<float*>(m_ + r_items_);
}

void DeviceSides::Orthogonalize(const std::vector<ProductSide*>& sides, RunControl& control) {
  Choose(sides);
  if (held_.empty()) return;
  double* const s = s_;
  double* const r = s_ + s_items_;
  auto* status = reinterpret_cast<uint32_t*>(out_ + out_items_);
  std::vector<tf_cuda_columns> matrices;
  for (const Held& held : held_) {
    control.ThrowIfCancelled();
    const size_t extent = held.side->extent(), rank = held.side->rank();
    lane_.Upload(s + held.at, held.side->columns(), extent * rank * sizeof(double));
    matrices.push_back({s + held.at, r + held.r_at, nullptr, extent, static_cast<uint32_t>(rank), 0});
  }
  const tf_cuda_columns_batch batch{matrices.data(), static_cast<uint32_t>(matrices.size()), 0, kLeastPivot,
                                    status};
  lane_.Launch("multiplying columns", lane_.cuda().gram, batch);
  lane_.Launch("factoring", lane_.cuda().cholesky, batch);
  std::vector<uint32_t> bad(held_.size());
  std::vector<double> upper(r_items_);
  lane_.Download(bad.data(), status, bad.size() * sizeof(uint32_t));
  lane_.Download(upper.data(), r, upper.size() * sizeof(double));
  for (size_t i = 0; i < held_.size(); i++) {
    held_[i].factored = bad[i] == 0 && held_[i].side->AdoptUpper(upper.data() + held_[i].r_at);
  }
}

const DeviceSides::Held* DeviceSides::Find(const ProductSide& side) const {
  const auto found =
      std::find_if(held_.begin(), held_.end(), [&](const Held& held) { return held.side == &side; });
  return found == held_.end() || !found->factored ? nullptr : &*found;
}

bool DeviceSides::Has(const ProductSide& side) const { return Find(side) != nullptr; }

void DeviceSides::Multiply(std::vector<Product>& products, RunControl& control) {
  if (products.empty()) return;
  control.ThrowIfCancelled();
  const double* const s = s_;
  double* m = m_;
  float* out = out_;
  std::vector<tf_cuda_product> jobs;
  for (Product& product : products) {
    const size_t extent = product.side->extent();
    lane_.Upload(m, product.m.data(), product.m.size() * sizeof(double));
    tf_cuda_product job{};
    job.m = m;
    job.s = s + Find(*product.side)->at;
    job.out = out;
    job.n = extent;
    job.stride = product.transposed ? product.rows : extent;
    job.rows = static_cast<uint32_t>(product.rows);
    job.k = static_cast<uint32_t>(product.side->rank());
    job.transposed = product.transposed ? 1 : 0;
    jobs.push_back(job);
    m += Rounded(product.m.size());
    out += Rounded(product.rows * extent);
  }
  lane_.Launch("multiplying factors", lane_.cuda().multiply,
               tf_cuda_product_batch{jobs.data(), static_cast<uint32_t>(jobs.size()), 0});
  for (size_t i = 0; i < products.size(); i++) {
    products[i].out.resize(products[i].rows * products[i].side->extent());
    lane_.Download(products[i].out.data(), jobs[i].out, products[i].out.size() * sizeof(float));
  }
}

}  // namespace taskfold
