#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/error.h"

namespace taskfold {

/// GPUs that jobs may use: native/device/device_set.h.
class DeviceSet;

/// Shared between JavaScript and running jobs.
struct CancelFlag {
  std::atomic<bool> cancelled{false};
};

/// What a job polls and reports while it runs.
class RunControl {
 public:
  RunControl(std::shared_ptr<CancelFlag> flag, unsigned threads, std::shared_ptr<DeviceSet> devices = nullptr)
      : flag_(std::move(flag)), threads_(threads), devices_(std::move(devices)) {}

  bool Cancelled() const {
    return stopping_.load(std::memory_order_relaxed) ||
           (flag_ && flag_->cancelled.load(std::memory_order_relaxed));
  }
  void ThrowIfCancelled() const {
    if (Cancelled()) throw Error("CANCELLED", "cancelled");
  }
  /// Ends the job because its environment goes away.
  void Stop() { stopping_.store(true, std::memory_order_relaxed); }
  /// Told at most 20 times a second, from any of the job's threads, how many bytes were read so far.
  void OnProgress(std::function<void(uint64_t)> listener) { listener_ = std::move(listener); }
  void AddProgress(uint64_t bytes) {
    const uint64_t total = progress_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    if (!listener_) return;
    const int64_t now = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
    int64_t last = reported_.load(std::memory_order_relaxed);
    if (now - last >= 50 && reported_.compare_exchange_strong(last, now)) listener_(total);
  }
  /// Threads at most, the caller's included; 0: the machine's.
  unsigned threads() const { return threads_; }
  /// The GPUs to work on; null: the CPU.
  DeviceSet* devices() const { return devices_.get(); }

 private:
  std::shared_ptr<CancelFlag> flag_;
  unsigned threads_;
  std::shared_ptr<DeviceSet> devices_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> progress_{0};
  std::atomic<int64_t> reported_{0};
  std::function<void(uint64_t)> listener_;
};

}  // namespace taskfold
