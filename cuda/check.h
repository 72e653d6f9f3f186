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

/// What a CUDA result means for whoever called.
inline int StatusOf(cudaError_t result) {
  switch (result) {
    case cudaSuccess:
      return TF_CUDA_OK;
    case cudaErrorMemoryAllocation:
      return TF_CUDA_OUT_OF_MEMORY;
    case cudaErrorInsufficientDriver:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorInitializationError:
    case cudaErrorSystemNotReady:
    case cudaErrorOperatingSystem:
    case cudaErrorNotPermitted:
      return TF_CUDA_NO_DRIVER;
    // After these CUDA answers every later call of the process with the same error.
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorDevicesUnavailable:
    case cudaErrorContextIsDestroyed:
    case cudaErrorUnknown:
      return TF_CUDA_DEVICE_LOST;
    default:
      return TF_CUDA_FAILED;
  }
}

/// Turns a CUDA result into a status and a message "call: what CUDA says (its name)".
inline int Check(cudaError_t result, const char* call, ErrorText error) {
  if (result == cudaSuccess) return TF_CUDA_OK;
  if (error.text != nullptr && error.bytes > 0) {
    std::snprintf(error.text, error.bytes, "%s: %s (%s)", call, cudaGetErrorString(result),
                  cudaGetErrorName(result));
  }
  // A failed call also leaves its code in the thread's error slot; taken out, or the next call would report
  // it again.
  (void)cudaGetLastError();
  return StatusOf(result);
}

}  // namespace taskfold::cuda

/// Leaves the function with a status when a CUDA call failed. Owners clean up in their destructors.
#define TF_CUDA_TRY(call, error)                                                             \
  do {                                                                                       \
    if (const int status_ = ::taskfold::cuda::Check((call), #call, (error))) return status_; \
  } while (false)
/// The same for a call that gives a status itself.
#define TF_CUDA_PASS(call)                          \
  do {                                              \
    if (const int status_ = (call)) return status_; \
  } while (false)
