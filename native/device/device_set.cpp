#include "device/device_set.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "device/self_check.h"

namespace taskfold {
namespace {

// Two lanes keep a device busy while one of their threads reads; the third bridges uneven reads. Little
// memory is better spent on longer chunks.
constexpr size_t kLanes = 3;
constexpr size_t kFewLanes = 2;
constexpr uint64_t kFewLanesBelow = uint64_t{256} << 20;
// How soon a job that waits for a lane sees that it was cancelled.
constexpr std::chrono::milliseconds kPoll{50};

void CheckDevices(const CudaLibrary& cuda, const std::vector<int32_t>& devices) {
  if (devices.empty()) throw Error("INVALID_ARGUMENT", "no GPU was named");
  int32_t count = 0;
  CudaCall(devices[0], "counting devices", cuda.device_count, &count);
  for (const int32_t device : devices) {
    if (device >= 0 && device < count) continue;
    throw Error("DEVICE_UNAVAILABLE", "there is no cuda:" + std::to_string(device) + ": this machine has " +
                                          std::to_string(count) + (count == 1 ? " GPU" : " GPUs"))
        .Hint("see taskfold devices, or use --device cpu");
  }
  if (std::set<int32_t>(devices.begin(), devices.end()).size() != devices.size()) {
    throw Error("INVALID_ARGUMENT", "a GPU was named twice");
  }
}

/// What jobs may use of each device: as asked for, or most of what is free on the fullest.
uint64_t Budget(const CudaLibrary& cuda, const std::vector<int32_t>& devices,
                std::optional<uint64_t> memory_bytes) {
  uint64_t budget = memory_bytes.value_or(~uint64_t{0});
  for (const int32_t device : devices) {
    uint64_t available = 0, total = 0;
    CudaCall(device, "starting the GPU", cuda.device_memory, device, &available, &total);
    const uint64_t least = std::max(memory_bytes.value_or(0), DeviceSet::kLeastBytes);
    if (available < least) {
      throw Error("OUT_OF_MEMORY", "cuda:" + std::to_string(device) + ": " + std::to_string(available) +
                                       " bytes of GPU memory are free, at least " + std::to_string(least) +
                                       " are needed")
          .Hint("free memory of the GPU, give --gpu-memory less, or use --device cpu");
    }
    if (!memory_bytes) budget = std::min(budget, std::max(available / 5 * 4, DeviceSet::kLeastBytes));
  }
  if (budget < DeviceSet::kLeastBytes) {
    throw Error("OUT_OF_MEMORY", "at least " + std::to_string(DeviceSet::kLeastBytes) +
                                     " bytes of GPU memory are needed, --gpu-memory allows " +
                                     std::to_string(budget))
        .Hint("give --gpu-memory more, or use --device cpu");
  }
  return budget;
}

}  // namespace

std::shared_ptr<DeviceSet> DeviceSet::Open(const std::string& library_path, std::vector<int32_t> devices,
                                           std::optional<uint64_t> memory_bytes) {
  std::string reason;
  const CudaLibrary* cuda = OpenCudaLibrary(library_path, &reason);
  if (!cuda) throw Error("DEVICE_UNAVAILABLE", reason).Hint("use --device cpu");
  CheckDevices(*cuda, devices);
  const uint64_t budget = Budget(*cuda, devices, memory_bytes);
  auto set = std::make_shared<DeviceSet>(*cuda, std::move(devices), budget);
  for (size_t d = 0; d < set->devices_.size(); d++) {
    Lane& lane = *set->lanes_[d];
    lane.Begin();
    try {
      SelfCheck(lane);
    } catch (...) {
      lane.End();
      throw;
    }
    lane.End();
  }
  return set;
}

DeviceSet::DeviceSet(const CudaLibrary& cuda, std::vector<int32_t> devices, uint64_t memory_bytes)
    : cuda_(cuda), devices_(std::move(devices)), memory_bytes_(memory_bytes) {
  const size_t each = memory_bytes < kFewLanesBelow ? kFewLanes : kLanes;
  for (size_t l = 0; l < each; l++) {
    for (const int32_t device : devices_) {
      lanes_.push_back(std::make_unique<Lane>(cuda_, health_, device, memory_bytes / each));
      free_.push_back(lanes_.back().get());
    }
  }
}

LaneLease DeviceSet::Lease(RunControl& control, size_t most) {
  if (most == 0) most = control.threads() == 0 ? lanes_.size() : control.threads();
  std::vector<Lane*> taken;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      if (closed_) throw Error("INVALID_ARGUMENT", "the GPUs of this job were closed");
      health_.ThrowIfLost();
      control.ThrowIfCancelled();
      if (!free_.empty()) break;
      returned_.wait_for(lock, kPoll);
    }
    const size_t count = std::min(most, free_.size());
    taken.assign(free_.begin(), free_.begin() + static_cast<ptrdiff_t>(count));
    free_.erase(free_.begin(), free_.begin() + static_cast<ptrdiff_t>(count));
    leased_ += count;
  }
  LaneLease lease(*this, std::move(taken));
  for (size_t i = 0; i < lease.size(); i++) lease[i].Begin();
  return lease;
}

void DeviceSet::Return(const std::vector<Lane*>& lanes) noexcept {
  for (Lane* lane : lanes) lane->End();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    leased_ -= lanes.size();
    for (const auto& lane : lanes_) {
      if (std::find(lanes.begin(), lanes.end(), lane.get()) != lanes.end()) free_.push_back(lane.get());
    }
  }
  returned_.notify_all();
}

void DeviceSet::Close() {
  std::unique_lock<std::mutex> lock(mutex_);
  closed_ = true;
  returned_.wait(lock, [&] { return leased_ == 0; });
  free_.clear();
  for (const auto& lane : lanes_) lane->Clear();
}

}  // namespace taskfold
