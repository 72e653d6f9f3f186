#include "task_vector.h"

#include "check.h"
#include "check_job.h"
#include "launch.h"

namespace taskfold::cuda {
namespace {

/// Null, or what contradicts tf_cuda_window's description.
const char* WindowFault(const tf_cuda_window& window) {
  if (window.low > window.end || window.end > kKeyEnd || window.shift > 31) {
    return "a window is no part of the key space";
  }
  const uint32_t bins = window.low == window.end ? 0 : ((window.end - 1 - window.low) >> window.shift) + 1;
  if (window.bins != bins) return "a window's number of bins does not fit its bounds and shift";
  if (window.tally == nullptr || (bins > 0 && window.counts == nullptr)) return "a window's pointer is null";
  return nullptr;
}

const char* MergeFault(const tf_cuda_merge_job& job) {
  if (!IsDtype(job.dtype)) return "merge: unknown dtype";
  if (job.task_count < 1 || job.task_count > TF_CUDA_MAX_TASKS) return "merge: 1 to 64 tasks are possible";
  if (job.elements == 0) return nullptr;
  if (job.base == nullptr || job.tasks == nullptr || job.merged == nullptr) return "merge: a pointer is null";
  if (!IsAligned(job.base) || !IsAligned(job.merged))
    return "merge: base or merged is not aligned to 16 bytes";
  for (uint32_t t = 0; t < job.task_count; t++) {
    if (job.tasks[t] == nullptr) return "merge: a task is null";
    if (!IsAligned(job.tasks[t])) return "merge: a task is not aligned to 16 bytes";
    if (job.windows == nullptr) continue;
    if (const char* fault = WindowFault(job.windows[t])) return fault;
  }
  return nullptr;
}

const char* CountFault(const tf_cuda_count_job& job) {
  if (!IsDtype(job.dtype)) return "count: unknown dtype";
  if (job.elements == 0) return nullptr;
  if (job.task == nullptr) return "count: the task is null";
  if (!IsAligned(job.task) || !IsAligned(job.merged))
    return "count: task or merged is not aligned to 16 bytes";
  return WindowFault(job.window);
}

/// Grid blocks for elements that are taken 16 bytes a thread at a time.
template <class Body>
uint32_t GridOf(const tf_cuda_queue* queue, uint64_t elements) {
  constexpr uint64_t per_block = uint64_t{Body::Vector::kItems} * Body::kThreads;
  return GridFor(queue, (elements - 1) / per_block + 1, Body::kTuning.blocks_per_multiprocessor);
}

template <Dtype kDtype, bool kRanked>
int Merge(tf_cuda_queue* queue, const tf_cuda_merge_job& job, ErrorText error) {
  using Body = MergeBody<kDtype, kRanked>;
  static_assert(sizeof(Body) <= 4096, "a kernel takes at most 4 KiB of arguments");
  Body body = {};
  body.elements = job.elements;
  body.base = job.base;
  body.merged = job.merged;
  body.merged_tally = job.merged_tally;
  body.task_count = job.task_count;
  body.lambda = job.lambda;
  for (uint32_t t = 0; t < job.task_count; t++) body.tasks[t] = job.tasks[t];
  if constexpr (kRanked) {
    for (uint32_t t = 0; t < job.task_count; t++) body.windows[t] = job.windows[t];
  }
  return Launch(queue, GridOf<Body>(queue, job.elements), body, error);
}

template <Dtype kDtype, bool kHasMerged>
int Count(tf_cuda_queue* queue, const tf_cuda_count_job& job, ErrorText error) {
  using Body = CountBody<kDtype, kHasMerged>;
  return Launch(queue, GridOf<Body>(queue, job.elements),
                Body{job.elements, job.merged, job.task, job.window}, error);
}

}  // namespace
}  // namespace taskfold::cuda

int tf_cuda_merge(tf_cuda_queue* queue, const tf_cuda_merge_job* job, char* error, size_t error_bytes) {
  using namespace taskfold;
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (queue == nullptr || job == nullptr) return Invalid(text, "merge: queue or job is null");
  if (const char* fault = MergeFault(*job)) return Invalid(text, fault);
  if (job->elements == 0) return TF_CUDA_OK;
  return VisitDtype(static_cast<Dtype>(job->dtype), [&]<Dtype kDtype>() {
    return job->windows != nullptr ? Merge<kDtype, true>(queue, *job, text)
                                   : Merge<kDtype, false>(queue, *job, text);
  });
}

int tf_cuda_count(tf_cuda_queue* queue, const tf_cuda_count_job* job, char* error, size_t error_bytes) {
  using namespace taskfold;
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (queue == nullptr || job == nullptr) return Invalid(text, "count: queue or job is null");
  if (const char* fault = CountFault(*job)) return Invalid(text, fault);
  if (job->elements == 0) return TF_CUDA_OK;
  return VisitDtype(static_cast<Dtype>(job->dtype), [&]<Dtype kDtype>() {
    return job->merged != nullptr ? Count<kDtype, true>(queue, *job, text)
                                  : Count<kDtype, false>(queue, *job, text);
  });
}
