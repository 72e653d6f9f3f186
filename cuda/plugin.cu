#include <cuda_runtime.h>

#include <cstring>

#include "check.h"
#include "taskfold_cuda.h"

using taskfold::cuda::ErrorText;

int tf_cuda_abi(void) { return TF_CUDA_ABI; }

int tf_cuda_device_count(int32_t* count, char* error, size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (count == nullptr) return taskfold::cuda::Invalid(text, "count is null");
  *count = 0;
  int found = 0;
  const cudaError_t result = cudaGetDeviceCount(&found);
  // A driver without a device is an answer, not a failure.
  if (result == cudaErrorNoDevice) {
    (void)cudaGetLastError();
    return TF_CUDA_OK;
  }
  if (result == cudaSuccess) *count = found;
  return taskfold::cuda::Check(result, "cudaGetDeviceCount", text);
}

int tf_cuda_device_info(int32_t device, tf_cuda_device* info, char* error, size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (info == nullptr) return taskfold::cuda::Invalid(text, "info is null");
  cudaDeviceProp properties;
  TF_CUDA_TRY(cudaGetDeviceProperties(&properties, device), text);
  static_assert(sizeof(info->name) >= sizeof(properties.name), "a device's name must fit");
  std::memset(info, 0, sizeof(*info));
  std::memcpy(info->name, properties.name, sizeof(properties.name));
  info->name[sizeof(info->name) - 1] = '\0';
  info->memory_bytes = properties.totalGlobalMem;
  info->major = properties.major;
  info->minor = properties.minor;
  info->multiprocessors = properties.multiProcessorCount;
  return TF_CUDA_OK;
}
