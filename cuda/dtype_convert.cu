#include "dtype_convert.h"

#include "check.h"
#include "check_job.h"
#include "launch.h"
#include "taskfold_cuda_kernels.h"

namespace taskfold::cuda {
namespace {

template <Dtype kFrom, Dtype kTo>
int Convert(tf_cuda_queue* queue, const tf_cuda_convert_job& job, ErrorText error) {
  using Body = ConvertBody<kFrom, kTo>;
  const Body body{static_cast<const typename Body::From*>(job.from), static_cast<typename Body::To*>(job.to),
                  job.elements, job.inexact};
  constexpr uint64_t per_block = uint64_t{Body::kStep} * Body::kThreads;
  return Launch(
      queue,
      GridFor(queue, (job.elements + per_block - 1) / per_block, kConvertTuning.blocks_per_multiprocessor),
      body, error);
}

}  // namespace
}  // namespace taskfold::cuda

int tf_cuda_convert(tf_cuda_queue* queue, const tf_cuda_convert_job* job, char* error, size_t error_bytes) {
  using namespace taskfold;
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (queue == nullptr || job == nullptr) return Invalid(text, "convert: queue or job is null");
  if (!IsDtype(job->from_dtype) || !IsDtype(job->to_dtype)) return Invalid(text, "convert: unknown dtype");
  if (job->elements == 0) return TF_CUDA_OK;
  if (job->from == nullptr || job->to == nullptr) return Invalid(text, "convert: a pointer is null");
  if (!IsAligned(job->from) || !IsAligned(job->to)) {
    return Invalid(text, "convert: from or to is not aligned to 16 bytes");
  }
  return VisitDtype(static_cast<Dtype>(job->from_dtype), [&]<Dtype kFrom>() {
    return VisitDtype(static_cast<Dtype>(job->to_dtype),
                      [&]<Dtype kTo>() { return Convert<kFrom, kTo>(queue, *job, text); });
  });
}
