#include "check.h"
#include "taskfold_cuda_kernels.h"

using taskfold::cuda::ErrorText;
using taskfold::cuda::Invalid;

int tf_cuda_scatter(tf_cuda_queue*, const tf_cuda_scatter_job*, char* error, size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "scatter: not written yet");
}

int tf_cuda_swap(tf_cuda_queue*, const tf_cuda_swap_job*, char* error, size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "swap: not written yet");
}
