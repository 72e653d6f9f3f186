#include <cuda_runtime.h>

#include <cstring>

#include "check.h"
#include "taskfold_cuda.h"

using taskfold::cuda::ErrorText;
using taskfold::cuda::Invalid;

static_assert(sizeof(cudaIpcMemHandle_t) == TF_CUDA_IPC_BYTES, "a handle crosses the interface as bytes");

int tf_cuda_allocate(int32_t device, uint64_t bytes, void** memory, char* error, size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (memory == nullptr) return Invalid(text, "memory is null");
  *memory = nullptr;
  if (bytes == 0) return TF_CUDA_OK;
  TF_CUDA_TRY(cudaSetDevice(device), text);
  void* found = nullptr;
  TF_CUDA_TRY(cudaMalloc(&found, bytes), text);
  *memory = found;
  return TF_CUDA_OK;
}

int tf_cuda_free(int32_t device, void* memory, char* error, size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (memory == nullptr) return TF_CUDA_OK;
  TF_CUDA_TRY(cudaSetDevice(device), text);
  TF_CUDA_TRY(cudaFree(memory), text);
  return TF_CUDA_OK;
}

int tf_cuda_allocate_pinned(uint64_t bytes, void** memory, char* error, size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (memory == nullptr) return Invalid(text, "memory is null");
  *memory = nullptr;
  if (bytes == 0) return TF_CUDA_OK;
  void* found = nullptr;
  // Portable: every device of the process copies from it.
  TF_CUDA_TRY(cudaHostAlloc(&found, bytes, cudaHostAllocPortable), text);
  *memory = found;
  return TF_CUDA_OK;
}

int tf_cuda_free_pinned(void* memory, char* error, size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (memory == nullptr) return TF_CUDA_OK;
  TF_CUDA_TRY(cudaFreeHost(memory), text);
  return TF_CUDA_OK;
}

int tf_cuda_ipc_export(int32_t device, void* memory, uint8_t handle[TF_CUDA_IPC_BYTES], char* error,
                       size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (memory == nullptr || handle == nullptr) return Invalid(text, "a pointer is null");
  TF_CUDA_TRY(cudaSetDevice(device), text);
  cudaIpcMemHandle_t exported;
  TF_CUDA_TRY(cudaIpcGetMemHandle(&exported, memory), text);
  std::memcpy(handle, &exported, sizeof(exported));
  return TF_CUDA_OK;
}

int tf_cuda_ipc_open(int32_t device, const uint8_t handle[TF_CUDA_IPC_BYTES], void** memory, char* error,
                     size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (memory == nullptr || handle == nullptr) return Invalid(text, "a pointer is null");
  *memory = nullptr;
  TF_CUDA_TRY(cudaSetDevice(device), text);
  cudaIpcMemHandle_t imported;
  std::memcpy(&imported, handle, sizeof(imported));
  void* found = nullptr;
  TF_CUDA_TRY(cudaIpcOpenMemHandle(&found, imported, cudaIpcMemLazyEnablePeerAccess), text);
  *memory = found;
  return TF_CUDA_OK;
}

int tf_cuda_ipc_close(int32_t device, void* memory, char* error, size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (memory == nullptr) return TF_CUDA_OK;
  TF_CUDA_TRY(cudaSetDevice(device), text);
  TF_CUDA_TRY(cudaIpcCloseMemHandle(memory), text);
  return TF_CUDA_OK;
}
