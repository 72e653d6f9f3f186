#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdio>

#include "taskfold_cuda.h"

namespace taskfold::cuda {

/// Where an entry's caller wants its message.
struct ErrorText {
  char* text;
  size_t bytes;
};

inline int Invalid(ErrorText error, const char* message) {
  if (error.text != nullptr && error.bytes > 0) std::snprintf(error.text, error.bytes, "%s", message);
  return TF_CUDA_INVALID;
}

/// Turns a CUDA result into a status and a message "call: what CUDA says".
inline int Check(cudaError_t result, const char* call, ErrorText error) {
  if (result == cudaSuccess) return TF_CUDA_OK;
  if (error.text != nullptr && error.bytes > 0) {
    std::snprintf(error.text, error.bytes, "%s: %s", call, cudaGetErrorString(result));
  }
  /// A failed call also leaves its code in the thread's error slot; taken out, or the next call would report
  /// it again.
  (void)cudaGetLastError();
  return result == cudaErrorMemoryAllocation ? TF_CUDA_OUT_OF_MEMORY : TF_CUDA_FAILED;
}

}  // namespace taskfold::cuda

/// Leaves the function with a status when a CUDA call failed. Owners clean up in their destructors.
#define TF_CUDA_TRY(call, error)                                                             \
  do {                                                                                       \
    if (const int status_ = ::taskfold::cuda::Check((call), #call, (error))) return status_; \
  } while (false)
