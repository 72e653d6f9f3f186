#pragma once
#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "device/cuda_call.h"

namespace taskfold {

/// Remembers that a device was lost: from then on the whole set answers with the same error, because CUDA
/// does so as well, only less clearly.
class DeviceHealth {
 public:
  void ThrowIfLost() const {
    if (!lost_.load(std::memory_order_acquire)) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    throw Error(*error_);
  }

  /// As CudaCall; a lost device is remembered.
  template <class Function, class... Arguments>
  void Call(int32_t device, const char* doing, Function function, Arguments&&... arguments) {
    char error[512] = {0};
    const int status = function(std::forward<Arguments>(arguments)..., error, sizeof error);
    if (status != TF_CUDA_OK) Fail(status, device, doing, error);
  }

 private:
  [[noreturn]] void Fail(int status, int32_t device, const char* doing, const char* error) {
    if (status == TF_CUDA_DEVICE_LOST) {
      try {
        ThrowCuda(status, device, doing, error);
      } catch (const Error& lost) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!error_) error_.emplace(lost);
        lost_.store(true, std::memory_order_release);
      }
    }
    ThrowCuda(status, device, doing, error);
  }

  mutable std::mutex mutex_;
  std::optional<Error> error_;
  std::atomic<bool> lost_{false};
};

}  // namespace taskfold
