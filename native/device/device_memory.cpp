#include "device/device_memory.h"

namespace taskfold {

// What fails while something is given back has been reported before, or concerns nobody any more.

DeviceMemory::DeviceMemory(const CudaLibrary& cuda, int32_t device, uint64_t bytes)
    : cuda_(&cuda), device_(device) {
  const std::string doing = "allocating " + std::to_string(bytes) + " bytes";
  CudaCall(device, doing.c_str(), cuda.allocate, device, bytes, &data_);
  bytes_ = bytes;
}

void DeviceMemory::Free() noexcept {
  char error[64];
  if (data_) cuda_->free(device_, data_, error, sizeof error);
  data_ = nullptr;
  bytes_ = 0;
}

PinnedMemory::PinnedMemory(const CudaLibrary& cuda, int32_t device, uint64_t bytes) : cuda_(&cuda) {
  const std::string doing = "allocating " + std::to_string(bytes) + " bytes of pinned host memory";
  void* memory = nullptr;
  CudaCall(device, doing.c_str(), cuda.allocate_pinned, bytes, &memory);
  data_ = static_cast<uint8_t*>(memory);
  bytes_ = bytes;
}

void PinnedMemory::Free() noexcept {
  char error[64];
  if (data_) cuda_->free_pinned(data_, error, sizeof error);
  data_ = nullptr;
  bytes_ = 0;
}

Queue::Queue(const CudaLibrary& cuda, int32_t device) : cuda_(&cuda) {
  CudaCall(device, "creating a stream", cuda.queue_create, device, &queue_);
}

void Queue::Destroy() noexcept {
  char error[64];
  if (queue_) cuda_->queue_destroy(queue_, error, sizeof error);
  queue_ = nullptr;
}

}  // namespace taskfold
