#include "check.h"
#include "taskfold_cuda_kernels.h"

using taskfold::cuda::ErrorText;
using taskfold::cuda::Invalid;

int tf_cuda_merge(tf_cuda_queue*, const tf_cuda_merge_job*, char* error, size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "merge: not written yet");
}

int tf_cuda_count(tf_cuda_queue*, const tf_cuda_count_job*, char* error, size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "count: not written yet");
}
