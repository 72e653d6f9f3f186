#include "check.h"
#include "taskfold_cuda_linalg.h"

using taskfold::cuda::ErrorText;
using taskfold::cuda::Invalid;

int tf_cuda_sketch_forward(tf_cuda_queue*, const tf_cuda_sketch_job*, char* error, size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "sketch_forward: not written yet");
}

int tf_cuda_sketch_backward(tf_cuda_queue*, const tf_cuda_backward_job*, char* error, size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "sketch_backward: not written yet");
}
