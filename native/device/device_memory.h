#pragma once
#include <cstdint>
#include <utility>

#include "device/cuda_call.h"

namespace taskfold {

/// Memory of one device, aligned to 256 bytes. Freed at once: nothing that was queued may still use it.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  /// OUT_OF_MEMORY when the device has not enough free. 0 bytes: data() is null.
  DeviceMemory(const CudaLibrary& cuda, int32_t device, uint64_t bytes);
  ~DeviceMemory() { Free(); }
  DeviceMemory(DeviceMemory&& other) noexcept { Swap(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    Free();
    Swap(other);
    return *this;
  }

  void* data() const { return data_; }
  template <class T>
  T* As() const {
    return static_cast<T*>(data_);
  }
  uint64_t bytes() const { return bytes_; }
  int32_t device() const { return device_; }

 private:
  void Free() noexcept;
  void Swap(DeviceMemory& other) noexcept {
    std::swap(cuda_, other.cuda_);
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  const CudaLibrary* cuda_ = nullptr;
  int32_t device_ = 0;
  void* data_ = nullptr;
  uint64_t bytes_ = 0;
};

/// Host memory that every device copies from and to while the CPU does something else.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  /// OUT_OF_MEMORY when the system gives none. `device` is named in the message.
  PinnedMemory(const CudaLibrary& cuda, int32_t device, uint64_t bytes);
  ~PinnedMemory() { Free(); }
  PinnedMemory(PinnedMemory&& other) noexcept { Swap(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    Free();
    Swap(other);
    return *this;
  }

  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void Free() noexcept;
  void Swap(PinnedMemory& other) noexcept {
    std::swap(cuda_, other.cuda_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  const CudaLibrary* cuda_ = nullptr;
  uint8_t* data_ = nullptr;
  uint64_t bytes_ = 0;
};

/// One stream of work on one device; used by one thread at a time.
class Queue {
 public:
  Queue() = default;
  Queue(const CudaLibrary& cuda, int32_t device);
  ~Queue() { Destroy(); }
  Queue(Queue&& other) noexcept { Swap(other); }
  Queue& operator=(Queue&& other) noexcept {
    Destroy();
    Swap(other);
    return *this;
  }

  tf_cuda_queue* get() const { return queue_; }

 private:
  void Destroy() noexcept;
  void Swap(Queue& other) noexcept {
    std::swap(cuda_, other.cuda_);
    std::swap(queue_, other.queue_);
  }
  const CudaLibrary* cuda_ = nullptr;
  tf_cuda_queue* queue_ = nullptr;
};

}  // namespace taskfold
