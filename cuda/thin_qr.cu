#include "thin_qr.h"

#include <algorithm>

#include "check.h"
#include "check_job.h"
#include "launch.h"
#include "taskfold_cuda_linalg.h"

namespace taskfold::cuda {
namespace {

static_assert(CholeskyBody::kMost == TF_CUDA_MAX_SKETCH, "room for every column's norm");

// Parts of several Gram matrices wait in the workspace together, up to this.
constexpr uint64_t kMostPartBytes = uint64_t{16} << 20;

uint64_t Ceil(uint64_t n, uint64_t of) { return (n + of - 1) / of; }

/// Starts a batch's work: items' first pieces follow each other.
template <class Body>
int LaunchBatch(tf_cuda_queue* queue, const Body& body, const Tuning& tuning, ErrorText error) {
  return Launch(queue, GridFor(queue, body.batch.work, tuning.blocks_per_multiprocessor), body, error);
}

const char* Refusal(const tf_cuda_columns_batch& batch) {
  if (batch.count > 0 && batch.matrices == nullptr) return "columns: matrices is null";
  for (uint32_t i = 0; i < batch.count; i++) {
    const tf_cuda_columns& one = batch.matrices[i];
    if (one.k < 1 || one.k > TF_CUDA_MAX_SKETCH) return "columns: k is not in 1 … 1024";
    if (one.r == nullptr || (one.n > 0 && one.s == nullptr)) return "columns: s or r is null";
  }
  return nullptr;
}

/// What gram, cholesky and solve check alike.
int CheckBatch(const tf_cuda_queue* queue, const tf_cuda_columns_batch* batch, ErrorText error) {
  if (queue == nullptr || batch == nullptr) return Invalid(error, "columns: queue or batch is null");
  const char* refusal = Refusal(*batch);
  return refusal == nullptr ? TF_CUDA_OK : Invalid(error, refusal);
}

struct GramCut {
  uint32_t splits;
  uint64_t split_steps;
  uint64_t stride;  // k, padded to whole tiles
  uint64_t Elements() const { return stride * stride; }
  uint64_t Bytes() const { return splits * Elements() * sizeof(double); }
};

/// By the shape alone: a matrix's bits don't depend on what is beside it in the batch.
GramCut CutGram(const tf_cuda_columns& one) {
  const uint64_t tiles = Ceil(one.k, kWideTile), upper = tiles * (tiles + 1) / 2;
  const uint64_t steps = Ceil(one.n, kWideDepth);
  const uint64_t splits =
      std::min(std::max<uint64_t>(1, kWideItems / upper), std::max<uint64_t>(1, steps / kWideLeastSteps));
  GramCut cut{};
  cut.split_steps = std::max<uint64_t>(1, Ceil(steps, splits));
  cut.splits = static_cast<uint32_t>(std::max<uint64_t>(1, Ceil(steps, cut.split_steps)));
  cut.stride = tiles * kWideTile;
  return cut;
}

/// `count` ≤ kBatch matrices whose parts fit the workspace.
int Gram(tf_cuda_queue* queue, const tf_cuda_columns* matrices, uint32_t count, ErrorText error) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < count; i++) bytes += CutGram(matrices[i]).Bytes();
  void* memory = nullptr;
  TF_CUDA_PASS(Workspace(queue, bytes, &memory, error));
  auto* parts = static_cast<double*>(memory);
  WideProductBody<WideItem<WideRows, WideTransposed, WideParts>> product{};
  MirrorBody mirror{};
  for (uint32_t i = 0; i < count; i++) {
    const tf_cuda_columns& one = matrices[i];
    const GramCut cut = CutGram(one);
    auto& item = product.batch.item[i];
    item.left = {one.s, one.n};
    item.right = {one.s, one.n};
    item.out = {parts, cut.stride, cut.Elements()};
    item.m = item.n = one.k;
    item.depth = one.n;
    item.splits = cut.splits;
    item.split_steps = cut.split_steps;
    item.symmetric = 1;
    item.first_item = product.batch.work;
    product.batch.work += item.RowTiles() * item.ColumnTiles() * cut.splits;
    mirror.batch.item[i] = {parts, cut.stride, cut.Elements(), cut.splits, one.k, one.r, mirror.batch.work};
    mirror.batch.work += one.k;
    parts += cut.splits * cut.Elements();
  }
  product.batch.count = mirror.batch.count = count;
  TF_CUDA_PASS(LaunchBatch(queue, product, kWideTuning, error));
  return LaunchBatch(queue, mirror, kCombineTuning, error);
}

Batch<ColumnsItem> ColumnsOf(const tf_cuda_columns* matrices, uint32_t count) {
  Batch<ColumnsItem> batch{};
  for (uint32_t i = 0; i < count; i++) {
    const tf_cuda_columns& one = matrices[i];
    batch.item[i] = {one.s, one.r, one.narrow, one.n, one.k, 0};
  }
  batch.count = count;
  return batch;
}

const char* Refusal(const tf_cuda_product_batch& batch) {
  if (batch.count > 0 && batch.products == nullptr) return "multiply: products is null";
  for (uint32_t i = 0; i < batch.count; i++) {
    const tf_cuda_product& one = batch.products[i];
    if (one.rows == 0 || one.n == 0) continue;
    if (one.k < 1 || one.k > TF_CUDA_MAX_SKETCH) return "multiply: k is not in 1 … 1024";
    if (one.m == nullptr || one.s == nullptr || one.out == nullptr) return "multiply: a pointer is null";
    if (one.stride < (one.transposed != 0 ? one.rows : one.n)) return "multiply: stride is below the extent";
  }
  return nullptr;
}

}  // namespace
}  // namespace taskfold::cuda

int tf_cuda_gram(tf_cuda_queue* queue, const tf_cuda_columns_batch* batch, char* error, size_t error_bytes) {
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  TF_CUDA_PASS(CheckBatch(queue, batch, text));
  for (uint32_t first = 0; first < batch->count;) {
    uint32_t count = 0;
    uint64_t bytes = 0;
    do {
      bytes += CutGram(batch->matrices[first + count++]).Bytes();
    } while (count < kBatch && first + count < batch->count &&
             bytes + CutGram(batch->matrices[first + count]).Bytes() <= kMostPartBytes);
    TF_CUDA_PASS(Gram(queue, batch->matrices + first, count, text));
    first += count;
  }
  return TF_CUDA_OK;
}

int tf_cuda_cholesky(tf_cuda_queue* queue, const tf_cuda_columns_batch* batch, char* error,
                     size_t error_bytes) {
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  TF_CUDA_PASS(CheckBatch(queue, batch, text));
  if (batch->count > 0 && batch->status == nullptr) return Invalid(text, "cholesky: status is null");
  for (uint32_t first = 0; first < batch->count; first += kBatch) {
    const uint32_t count = std::min(kBatch, batch->count - first);
    CholeskyBody body{ColumnsOf(batch->matrices + first, count), batch->least, batch->status + first};
    body.batch.work = count;
    TF_CUDA_PASS(LaunchBatch(queue, body, kCholeskyTuning, text));
  }
  return TF_CUDA_OK;
}

int tf_cuda_solve(tf_cuda_queue* queue, const tf_cuda_columns_batch* batch, char* error, size_t error_bytes) {
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  TF_CUDA_PASS(CheckBatch(queue, batch, text));
  for (uint32_t first = 0; first < batch->count; first += kBatch) {
    const uint32_t count = std::min(kBatch, batch->count - first);
    SolveBody body{ColumnsOf(batch->matrices + first, count)};
    for (uint32_t i = 0; i < count; i++) {
      body.batch.item[i].first_item = body.batch.work;
      body.batch.work += Ceil(body.batch.item[i].n, kSolveTuning.threads);
    }
    if (body.batch.work > 0) TF_CUDA_PASS(LaunchBatch(queue, body, kSolveTuning, text));
  }
  return TF_CUDA_OK;
}

int tf_cuda_multiply(tf_cuda_queue* queue, const tf_cuda_product_batch* batch, char* error,
                     size_t error_bytes) {
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (queue == nullptr || batch == nullptr) return Invalid(text, "multiply: queue or batch is null");
  if (const char* refusal = Refusal(*batch)) return Invalid(text, refusal);
  for (uint32_t first = 0; first < batch->count; first += kBatch) {
    const uint32_t count = std::min(kBatch, batch->count - first);
    WideProductBody<WideItem<WideRows, WideRows, NarrowOut>> body{};
    for (uint32_t i = 0; i < count; i++) {
      const tf_cuda_product& one = batch->products[first + i];
      auto& item = body.batch.item[i];
      item.left = {one.m, one.k};
      item.right = {one.s, one.n};
      item.out = {one.out, one.transposed != 0 ? 1 : one.stride, one.transposed != 0 ? one.stride : 1};
      item.m = one.rows;
      item.n = one.n;
      item.depth = one.k;
      item.splits = 1;
      item.split_steps = Ceil(one.k, kWideDepth);
      item.first_item = body.batch.work;
      body.batch.work += item.RowTiles() * item.ColumnTiles();
    }
    body.batch.count = count;
    if (body.batch.work > 0) TF_CUDA_PASS(LaunchBatch(queue, body, kWideTuning, text));
  }
  return TF_CUDA_OK;
}
