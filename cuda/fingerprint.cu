#include "check.h"
#include "taskfold_cuda_kernels.h"

using taskfold::cuda::ErrorText;
using taskfold::cuda::Invalid;

int tf_cuda_digest(tf_cuda_queue*, const tf_cuda_digest_job*, char* error, size_t error_bytes) {
  return Invalid(ErrorText{error, error_bytes}, "digest: not written yet");
}
