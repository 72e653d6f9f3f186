#include "check.h"
#include "taskfold_cuda_linalg.h"

using taskfold::cuda::ErrorText;
using taskfold::cuda::Invalid;

int tf_cuda_gram(tf_cuda_queue*, const tf_cuda_columns*, uint32_t, char* error, size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "gram: not written yet");
}

int tf_cuda_cholesky(tf_cuda_queue*, const tf_cuda_columns*, uint32_t, double, uint32_t*, char* error,
                     size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "cholesky: not written yet");
}

int tf_cuda_solve(tf_cuda_queue*, const tf_cuda_columns*, uint32_t, char* error, size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "solve: not written yet");
}
