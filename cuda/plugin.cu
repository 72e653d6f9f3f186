#include <cuda_runtime.h>

#include <cstring>

#include "check.h"
#include "taskfold_cuda.h"

using taskfold::cuda::ErrorText;
using taskfold::cuda::Invalid;

int tf_cuda_abi(void) { return TF_CUDA_ABI; }

int tf_cuda_get_versions(tf_cuda_versions* versions, char* error, size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (versions == nullptr) return Invalid(text, "versions is null");
  int driver = 0, runtime = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  if (cudaRuntimeGetVersion(&runtime) != cudaSuccess) runtime = 0;
  (void)cudaGetLastError();
  versions->driver = driver;
  versions->runtime = runtime;
  return TF_CUDA_OK;
}

int tf_cuda_device_count(int32_t* count, char* error, size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (count == nullptr) return Invalid(text, "count is null");
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
  if (info == nullptr) return Invalid(text, "info is null");
  cudaDeviceProp properties;
  TF_CUDA_TRY(cudaGetDeviceProperties(&properties, device), text);
  static_assert(sizeof(info->name) >= sizeof(properties.name), "a device's name must fit");
  std::memset(info, 0, sizeof(*info));
  std::memcpy(info->name, properties.name, sizeof(properties.name));
  info->name[sizeof(info->name) - 1] = '\0';
  if (cudaDeviceGetPCIBusId(info->bus_id, sizeof(info->bus_id), device) != cudaSuccess) {
    (void)cudaGetLastError();
    info->bus_id[0] = '\0';
  }
  info->memory_bytes = properties.totalGlobalMem;
  info->major = properties.major;
  info->minor = properties.minor;
  info->multiprocessors = properties.multiProcessorCount;
  return TF_CUDA_OK;
}

int tf_cuda_device_memory(int32_t device, uint64_t* free_bytes, uint64_t* total_bytes, char* error,
                          size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (free_bytes == nullptr || total_bytes == nullptr) return Invalid(text, "a result is null");
  TF_CUDA_TRY(cudaSetDevice(device), text);
  size_t available = 0, total = 0;
  TF_CUDA_TRY(cudaMemGetInfo(&available, &total), text);
  *free_bytes = available;
  *total_bytes = total;
  return TF_CUDA_OK;
}
