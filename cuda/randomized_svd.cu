#include "randomized_svd.h"

#include <algorithm>

#include "check.h"
#include "check_job.h"
#include "launch.h"
#include "taskfold_cuda_linalg.h"
#include "wide_product.h"

namespace taskfold::cuda {
namespace {

uint64_t Ceil(uint64_t n, uint64_t of) { return (n + of - 1) / of; }

/// What both directions have.
template <class Job>
const char* Refusal(const Job& job) {
  if (!IsDtype(job.dtype) || (job.minus != nullptr && !IsDtype(job.minus_dtype)))
    return "sketch: unknown dtype";
  if (job.k < 1 || job.k > TF_CUDA_MAX_SKETCH) return "sketch: k is not in 1 … 1024";
  if (job.columns == 0) return "sketch: columns is 0";
  if (job.rows > kMostExtent || job.columns > kMostExtent)
    return "sketch: more than 2^31 - 1 rows or columns";
  if (job.y_stride < job.rows) return "sketch: y_stride is below rows";
  if (job.matrix == nullptr) return "sketch: matrix is null";
  if (!IsAligned(job.matrix) || !IsAligned(job.minus)) return "sketch: a matrix is not aligned";
  return nullptr;
}

template <class Job>
DensePiece Piece(const Job& job) {
  return {job.matrix,
          job.minus,
          job.dtype,
          job.minus_dtype,
          static_cast<uint32_t>(job.rows),
          static_cast<uint32_t>(job.columns)};
}

/// How many tiles one launch takes, at most.
uint64_t TilesOfLaunch(uint64_t tiles, uint32_t column_tiles, uint32_t items) {
  return std::min<uint64_t>(tiles, std::max<uint32_t>(1, items / column_tiles));
}

/// Splits of the sum, so that there are about `items` pieces of work; sets the steps of each.
uint32_t Splits(uint64_t pieces, uint64_t steps, uint32_t items, uint32_t least_steps,
                uint64_t* split_steps) {
  const uint64_t wanted =
      std::min(std::max<uint64_t>(1, items / pieces), std::max<uint64_t>(1, steps / least_steps));
  *split_steps = Ceil(steps, wanted);
  return static_cast<uint32_t>(std::max<uint64_t>(1, Ceil(steps, *split_steps)));
}

SketchCut Cut(uint64_t first_tile, uint64_t tiles, uint64_t inner, uint32_t k) {
  SketchCut cut{};
  cut.first_tile = static_cast<uint32_t>(first_tile);
  cut.tiles = static_cast<uint32_t>(tiles);
  cut.column_tiles = static_cast<uint32_t>(Ceil(k, kSketchColumns));
  uint64_t split_steps = 0;
  cut.splits = Splits(tiles * cut.column_tiles, Ceil(inner, kSketchInner), kSketchItems, kSketchLeastSteps,
                      &split_steps);
  cut.split_steps = static_cast<uint32_t>(split_steps);
  cut.padded_k = static_cast<uint32_t>(Ceil(k, kMmaColumns) * kMmaColumns);
  return cut;
}

/// One launch: the product of some tiles, then the sum of its parts; `combine` has the outputs.
template <bool kBackward>
int LaunchTiles(tf_cuda_queue* queue, SketchBody<kBackward> body, CombineBody<float> combine,
                double* squared_norm, ErrorText error) {
  const SketchCut& cut = body.cut;
  const bool measured = squared_norm != nullptr || body.not_finite != nullptr;
  const uint64_t squares = measured ? static_cast<uint64_t>(cut.splits) * cut.tiles : 0;
  const uint64_t parts = cut.splits * cut.PartElements();
  void* memory = nullptr;
  TF_CUDA_PASS(Workspace(queue, parts * sizeof(float) + squares * sizeof(double), &memory, error));
  // Parts are whole tiles of 16 × 64, so what follows them is aligned.
  body.parts = static_cast<float*>(memory);
  body.squares = squares == 0 ? nullptr : reinterpret_cast<double*>(body.parts + parts);
  TF_CUDA_PASS(
      Launch(queue, GridFor(queue, cut.Items(), kSketchTuning.blocks_per_multiprocessor), body, error));
  combine.parts = body.parts;
  combine.splits = cut.splits;
  combine.part_elements = cut.PartElements();
  combine.part_stride = static_cast<uint64_t>(cut.tiles) * kSketchOuter;
  const uint64_t work = Ceil(combine.k * combine.extent, kCombineTuning.threads);
  TF_CUDA_PASS(Launch(queue, GridFor(queue, work, kCombineTuning.blocks_per_multiprocessor), combine, error));
  if (squared_norm == nullptr) return TF_CUDA_OK;
  return Launch(queue, 1, AddUpBody{body.squares, squares, squared_norm}, error);
}

/// Runs `body` over tiles of its outer extent, as many at a time as one launch has parts for. `direct` says
/// where the results of the tiles from `first` on go.
template <bool kTransposed, class Direct>
int ForTiles(tf_cuda_queue* queue, SketchBody<kTransposed> body, uint64_t extent, double* squared_norm,
             const Direct& direct, ErrorText error) {
  const uint64_t tiles = Ceil(extent, kSketchOuter);
  const auto column_tiles = static_cast<uint32_t>(Ceil(body.k, kSketchColumns));
  const uint64_t step = TilesOfLaunch(tiles, column_tiles, kSketchItems);
  for (uint64_t tile = 0; tile < tiles; tile += step) {
    body.cut = Cut(tile, std::min(step, tiles - tile), body.inner, body.k);
    const uint64_t first = tile * kSketchOuter;
    CombineBody<float> combine{};
    combine.k = body.k;
    combine.extent = std::min<uint64_t>(extent - first, body.cut.tiles * kSketchOuter);
    direct(first, combine);
    TF_CUDA_PASS(LaunchTiles(queue, body, combine, squared_norm, error));
  }
  return TF_CUDA_OK;
}

int Forward(tf_cuda_queue* queue, const tf_cuda_sketch_job& job, ErrorText error) {
  SketchBody<false> body{};
  body.dense = Piece(job);
  body.scale = job.scale;
  body.vectors = job.x;
  body.vector_stride = job.columns;
  body.vectors_aligned = job.columns % 4 == 0;
  body.k = job.k;
  body.inner = static_cast<uint32_t>(job.columns);
  body.not_finite = job.not_finite;
  return ForTiles(
      queue, body, job.rows, job.squared_norm,
      [&](uint64_t first, CombineBody<float>& combine) {
        combine.narrow = job.y == nullptr ? nullptr : job.y + first;
        combine.wide = job.wide_y == nullptr ? nullptr : job.wide_y + first;
        combine.out_stride = job.y_stride;
      },
      error);
}

int Backward(tf_cuda_queue* queue, const tf_cuda_backward_job& job, ErrorText error) {
  SketchBody<true> body{};
  body.dense = Piece(job);
  body.scale = job.scale;
  body.vectors = job.y;
  body.vector_stride = job.y_stride;
  body.vectors_aligned = job.y_stride % 4 == 0 && IsAligned(job.y);
  body.k = job.k;
  body.inner = static_cast<uint32_t>(job.rows);
  return ForTiles(
      queue, body, job.columns, nullptr,
      [&](uint64_t first, CombineBody<float>& combine) {
        combine.added = job.z + first;
        combine.out_stride = job.columns;
      },
      error);
}

/// Backward with products in f64.
int WideBackward(tf_cuda_queue* queue, const tf_cuda_backward_job& job, ErrorText error) {
  using Item = WideItem<WideRows, WideDense, WideParts>;
  const auto row_tiles = static_cast<uint32_t>(Ceil(job.k, kWideTile));
  const uint64_t tiles = Ceil(job.columns, kWideTile);
  const uint64_t step = TilesOfLaunch(tiles, row_tiles, kSketchItems);
  for (uint64_t tile = 0; tile < tiles; tile += step) {
    const uint64_t first = tile * kWideTile, mine = std::min(step, tiles - tile);
    WideProductBody<Item> body{};
    Item& item = body.batch.item[0];
    item.left = {job.wide_y, job.y_stride};
    item.right = {Piece(job), job.scale, first};
    item.m = job.k;
    item.n = std::min(job.columns - first, mine * kWideTile);
    item.depth = job.rows;
    item.splits = Splits(row_tiles * mine, Ceil(job.rows, kWideDepth), kSketchItems, kWideLeastSteps,
                         &item.split_steps);
    item.out = {nullptr, mine * kWideTile, row_tiles * kWideTile * mine * kWideTile};
    void* memory = nullptr;
    TF_CUDA_PASS(Workspace(queue, item.splits * item.out.elements * sizeof(double), &memory, error));
    item.out.parts = static_cast<double*>(memory);
    body.batch.count = 1;
    body.batch.work = row_tiles * mine * item.splits;
    TF_CUDA_PASS(
        Launch(queue, GridFor(queue, body.batch.work, kWideTuning.blocks_per_multiprocessor), body, error));
    CombineBody<double> combine{};
    combine.parts = item.out.parts;
    combine.splits = item.splits;
    combine.part_elements = item.out.elements;
    combine.part_stride = item.out.stride;
    combine.k = job.k;
    combine.extent = item.n;
    combine.added = job.z + first;
    combine.out_stride = job.columns;
    const uint64_t work = Ceil(combine.k * combine.extent, kCombineTuning.threads);
    TF_CUDA_PASS(
        Launch(queue, GridFor(queue, work, kCombineTuning.blocks_per_multiprocessor), combine, error));
  }
  return TF_CUDA_OK;
}

}  // namespace
}  // namespace taskfold::cuda

int tf_cuda_sketch_forward(tf_cuda_queue* queue, const tf_cuda_sketch_job* job, char* error,
                           size_t error_bytes) {
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (queue == nullptr || job == nullptr) return Invalid(text, "sketch_forward: queue or job is null");
  if (job->rows == 0) return TF_CUDA_OK;
  if (const char* refusal = Refusal(*job)) return Invalid(text, refusal);
  if (job->x == nullptr || !IsAligned(job->x))
    return Invalid(text, "sketch_forward: x is null or not aligned");
  if (job->y == nullptr && job->wide_y == nullptr) return Invalid(text, "sketch_forward: no output");
  return Forward(queue, *job, text);
}

int tf_cuda_sketch_backward(tf_cuda_queue* queue, const tf_cuda_backward_job* job, char* error,
                            size_t error_bytes) {
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (queue == nullptr || job == nullptr) return Invalid(text, "sketch_backward: queue or job is null");
  if (job->rows == 0) return TF_CUDA_OK;
  if (const char* refusal = Refusal(*job)) return Invalid(text, refusal);
  if ((job->y == nullptr) == (job->wide_y == nullptr)) {
    return Invalid(text, "sketch_backward: one of y and wide_y is given");
  }
  if (job->z == nullptr) return Invalid(text, "sketch_backward: z is null");
  return job->y != nullptr ? Backward(queue, *job, text) : WideBackward(queue, *job, text);
}
