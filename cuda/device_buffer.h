#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace taskfold::cuda {

/// Owns a piece of device memory.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  ~DeviceBuffer() { Free(); }

  /// Frees what it had. 0 bytes: data() is null.
  cudaError_t Allocate(size_t bytes) {
    Free();
    if (bytes == 0) return cudaSuccess;
    const cudaError_t result = cudaMalloc(&data_, bytes);
    if (result == cudaSuccess) {
      bytes_ = bytes;
    } else {
      data_ = nullptr;
    }
    return result;
  }
  void Free() {
    if (data_ != nullptr) (void)cudaFree(data_);
    data_ = nullptr;
    bytes_ = 0;
  }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace taskfold::cuda
