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
  ~DeviceBuffer() {
    if (data_ != nullptr) cudaFree(data_);
  }

  /// Once per object. 0 bytes: data() stays null.
  cudaError_t Allocate(size_t bytes) { return bytes == 0 ? cudaSuccess : cudaMalloc(&data_, bytes); }

  template <typename T>
  T* As() const {
    return static_cast<T*>(data_);
  }
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

}  // namespace taskfold::cuda
