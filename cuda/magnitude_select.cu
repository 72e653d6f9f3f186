#include "check.h"
#include "taskfold_cuda_kernels.h"

using taskfold::cuda::ErrorText;
using taskfold::cuda::Invalid;

int tf_cuda_rank(tf_cuda_queue*, const tf_cuda_rank_job*, char* error, size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "rank: not written yet");
}

int tf_cuda_place(tf_cuda_queue*, const tf_cuda_place_job*, char* error, size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "place: not written yet");
}

int tf_cuda_emit(tf_cuda_queue*, const tf_cuda_emit_job*, char* error, size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "emit: not written yet");
}
