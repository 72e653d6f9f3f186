#include "delta_scatter.h"

#include "check.h"
#include "check_job.h"
#include "launch.h"

namespace taskfold::cuda {
namespace {

/// Null, or what is wrong with a scatter job.
const char* WrongScatter(const tf_cuda_scatter_job& job) {
  const tf_cuda_delta& delta = job.delta;
  if (job.item_bytes != 1 && job.item_bytes != 2 && job.item_bytes != 4 && job.item_bytes != 8) {
    return "scatter: item_bytes must be 1, 2, 4 or 8";
  }
  if (delta.kept > job.elements) return "scatter: more entries than elements";
  if (delta.kept == 0) return nullptr;
  if (delta.start_bytes != 4 && delta.start_bytes != 8) return "scatter: start_bytes must be 4 or 8";
  if (delta.index_code != TF_CUDA_INDEX_U16 && delta.index_code != TF_CUDA_INDEX_BITMAP) {
    return "scatter: unknown index_code";
  }
  if (job.dense == nullptr || job.refused == nullptr) return "scatter: dense or refused is null";
  if (delta.starts == nullptr || delta.index == nullptr || delta.values == nullptr) {
    return "scatter: an array of the delta is null";
  }
  return nullptr;
}

template <class Item>
int Scatter(tf_cuda_queue* queue, const tf_cuda_scatter_job& job, ErrorText error) {
  const ScatterBody<Item> body{{static_cast<Item*>(job.dense), job.elements, job.refused}, job.delta};
  return Launch(queue, GridFor(queue, BlockCount(job.elements), kScatterTuning.blocks_per_multiprocessor),
                body, error);
}

/// The list is in the device's memory, so which sizes there are is not known here. A kernel without tensors
/// of its size ends at once.
template <class Item>
int Swap(tf_cuda_queue* queue, const tf_cuda_swap_job& job, ErrorText error) {
  const SwapBody<Item> body{job.tensors, job.tensor_count, job.blocks, job.refused};
  return Launch(queue, GridFor(queue, job.blocks, kSwapTuning.blocks_per_multiprocessor), body, error);
}

}  // namespace
}  // namespace taskfold::cuda

int tf_cuda_scatter(tf_cuda_queue* queue, const tf_cuda_scatter_job* job, char* error, size_t error_bytes) {
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (queue == nullptr || job == nullptr) return Invalid(text, "scatter: queue or job is null");
  if (const char* wrong = WrongScatter(*job)) return Invalid(text, wrong);
  if (job->delta.kept == 0) return TF_CUDA_OK;
  switch (job->item_bytes) {
    case 1:
      return Scatter<uint8_t>(queue, *job, text);
    case 2:
      return Scatter<uint16_t>(queue, *job, text);
    case 4:
      return Scatter<uint32_t>(queue, *job, text);
    default:
      return Scatter<uint64_t>(queue, *job, text);
  }
}

int tf_cuda_swap(tf_cuda_queue* queue, const tf_cuda_swap_job* job, char* error, size_t error_bytes) {
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (queue == nullptr || job == nullptr) return Invalid(text, "swap: queue or job is null");
  if (job->blocks == 0) return TF_CUDA_OK;
  if (job->tensor_count == 0 || job->tensors == nullptr) {
    return Invalid(text, "swap: blocks of no tensors");
  }
  if (job->refused == nullptr) return Invalid(text, "swap: refused is null");
  TF_CUDA_PASS(Swap<uint8_t>(queue, *job, text));
  TF_CUDA_PASS(Swap<uint16_t>(queue, *job, text));
  TF_CUDA_PASS(Swap<uint32_t>(queue, *job, text));
  return Swap<uint64_t>(queue, *job, text);
}
