#pragma once
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/run_control.h"
#include "device/lane.h"

namespace taskfold {

class LaneLease;

/// GPUs that jobs work on: each has some lanes within one memory budget. Threads share it; jobs that run keep
/// it alive.
class DeviceSet : public std::enable_shared_from_this<DeviceSet> {
 public:
  /// Least device memory with which every job works.
  static constexpr uint64_t kLeastBytes = uint64_t{64} << 20;

  /// Opens the plug-in at `library_path` and its `devices`, and compares every elementwise kernel with the
  /// CPU on each (self_check.h). `memory_bytes`: what jobs use at most, a device; by default four fifths of
  /// what is free. DEVICE_UNAVAILABLE for no plug-in, no driver, no such device, or other bits than the CPU;
  /// OUT_OF_MEMORY when less than kLeastBytes is free or less than was asked for.
  static std::shared_ptr<DeviceSet> Open(const std::string& library_path, std::vector<int32_t> devices,
                                         std::optional<uint64_t> memory_bytes);

  DeviceSet(const CudaLibrary& cuda, std::vector<int32_t> devices, uint64_t memory_bytes);
  DeviceSet(const DeviceSet&) = delete;
  DeviceSet& operator=(const DeviceSet&) = delete;

  const CudaLibrary& cuda() const { return cuda_; }
  const std::vector<int32_t>& devices() const { return devices_; }
  /// Of each device. Its lanes share it evenly.
  uint64_t memory_bytes() const { return memory_bytes_; }
  size_t lanes() const { return lanes_.size(); }
  /// Device memory of one lane: equal for all.
  uint64_t lane_bytes() const { return lanes_[0]->memory_bytes(); }
  DeviceHealth& health() { return health_; }
  /// Bytes of one operand that a chunk of elementwise work holds at most; results do not depend on it.
  uint64_t chunk_bytes() const { return chunk_bytes_; }
  /// Before any job runs (tests, tuning). At least one leaf is taken, whatever is said here.
  void SetChunkBytes(uint64_t bytes) { chunk_bytes_ = bytes; }

  /// Waits for a free lane and takes up to `most` (0: the job's threads) of those that are free then, the
  /// devices in turn. A job leases once and never waits for a second lease while it holds one, so jobs cannot
  /// wait for each other in a circle. CANCELLED while it waits; the remembered error after a device was lost;
  /// INVALID_ARGUMENT after Close.
  LaneLease Lease(RunControl& control, size_t most = 0);

  /// Waits for the jobs that run, then gives streams and memory back. Idempotent.
  void Close();

 private:
  friend class LaneLease;
  void Return(const std::vector<Lane*>& lanes) noexcept;

  const CudaLibrary& cuda_;
  std::vector<int32_t> devices_;
  uint64_t memory_bytes_;
  // Long enough to copy at full speed, short enough that several are on their way.
  uint64_t chunk_bytes_ = uint64_t{8} << 20;
  DeviceHealth health_;
  std::mutex mutex_;
  std::condition_variable returned_;
  bool closed_ = false;
  size_t leased_ = 0;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<Lane*> free_;  // in the order in which they are taken
};

/// Lanes of one job: worker w of its ParallelFor drives lane w. Waits for them at its end.
class LaneLease {
 public:
  LaneLease(LaneLease&& other) noexcept : set_(other.set_), lanes_(std::move(other.lanes_)) {
    other.lanes_.clear();
  }
  LaneLease& operator=(LaneLease&&) = delete;
  ~LaneLease() {
    if (!lanes_.empty()) set_.Return(lanes_);
  }
  size_t size() const { return lanes_.size(); }
  Lane& operator[](size_t worker) const { return *lanes_[worker]; }

 private:
  friend class DeviceSet;
  LaneLease(DeviceSet& set, std::vector<Lane*> lanes) : set_(set), lanes_(std::move(lanes)) {}
  DeviceSet& set_;
  std::vector<Lane*> lanes_;
};

}  // namespace taskfold
