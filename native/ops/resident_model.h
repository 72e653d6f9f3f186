#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "device/device_set.h"
#include "ops/resident_task.h"

namespace taskfold {

/// What a model holds at a moment.
struct ResidentState {
  /// Task whose entries are in θ*'s memory; null: θ* itself.
  std::optional<std::string> current;
  /// Tasks on the device, the most recently used last.
  std::vector<std::string> loaded;
  /// Device memory held, in bytes.
  uint64_t bytes = 0;
  /// Addresses on the device: of θ*'s memory, and of the current task's own (0: none).
  uint64_t merged_address = 0, task_address = 0;
};

/// A model that stays on one GPU: θ* in one allocation, each loaded task in one of its own. Switching
/// exchanges a task's entries with θ*'s in place, so that nothing is stored twice and leaving a task gives θ*
/// back, bit for bit. Operations run one after the other, whichever threads ask; state() and Share() never
/// wait for them.
class ResidentModel {
 public:
  /// Holds memory on the set's first device, at most the set's memory_bytes(). OUT_OF_MEMORY.
  ResidentModel(std::shared_ptr<DeviceSet> devices, uint64_t merged_bytes);
  ResidentModel(const ResidentModel&) = delete;
  ResidentModel& operator=(const ResidentModel&) = delete;

  /// Fills θ*'s memory. Once, before everything else.
  void LoadMerged(const std::vector<ResidentCopy>& copies, RunControl& control);

  /// Puts a task on the device; nothing happens when it is there. With `drop`, tasks that were not used for
  /// longest are dropped when memory is short, at last the current one, which is left first. PACK_INVALID,
  /// OUT_OF_MEMORY, CANCELLED, DEVICE_UNAVAILABLE, and what reading files can raise.
  void AddTask(ResidentTaskPlan plan, bool drop, RunControl& control);

  /// Takes a task off the device; INVALID_ARGUMENT for the current one. Nothing happens when it is not there.
  void DropTask(const std::string& name);

  /// Enters a loaded task, or none; INVALID_ARGUMENT when it is not loaded. When it fails on the way, the
  /// model can't be used any more: every later call fails with that error.
  void SwitchTo(const std::optional<std::string>& task, RunControl& control);

  /// Copies bytes [at, at + out.length()) of θ*'s memory, or with `task` of this task's own, to the host.
  void Read(const std::optional<std::string>& task, uint64_t at, const Region& out, RunControl& control);

  /// cudaIpcMemHandle_t's bytes for the same memory.
  std::vector<uint8_t> ExportHandle(const std::optional<std::string>& task);

  ResidentState state() const;
  int32_t device() const { return devices_->devices()[0]; }
  /// That memory with an owner: it lives as long as the result, whatever happens to the model.
  /// INVALID_ARGUMENT when the task is not loaded or [at, at + bytes) leads outside.
  std::shared_ptr<DeviceMemory> Share(const std::optional<std::string>& task, uint64_t at,
                                      uint64_t bytes) const;

 private:
  struct Loaded {
    std::unique_ptr<ResidentTask> task;
    uint64_t used_at = 0;
  };
  using Tasks = std::map<std::string, Loaded>;

  void RequireUsable() const;
  void SwitchLocked(const std::optional<std::string>& task, RunControl& control);
  void RunSwitch(const ResidentTask* leave, const ResidentTask* enter, const SwapLists& lists, Lane& lane);
  void Swap(const std::vector<tf_cuda_swap_tensor>& list, uint8_t* room, Lane& lane);
  /// Bytes that may still be allocated: of the budget, and free on the device.
  uint64_t Available() const;
  [[noreturn]] void ThrowTooLarge(const std::string& what, uint64_t bytes, uint64_t dropped) const;
  void MakeRoom(const std::string& what, uint64_t bytes, bool drop, RunControl& control);
  std::shared_ptr<DeviceMemory> Allocate(uint64_t bytes);
  void GrowLists(size_t deltas);
  /// The task that may go first; end() when there is none.
  Tasks::iterator LeastUsed();
  void Drop(Tasks::iterator task);
  const ResidentTask* Find(const std::optional<std::string>& name) const;

  const std::shared_ptr<DeviceSet> devices_;
  std::shared_ptr<DeviceMemory> merged_;
  /// Operations, one at a time.
  std::mutex work_;
  std::optional<Error> broken_;
  /// Room for the lists of a switch, behind the counter of refused entries.
  DeviceMemory lists_;
  uint64_t clock_ = 0;
  /// What state() and Share() read, held only for moments.
  mutable std::mutex state_;
  Tasks tasks_;
  std::optional<std::string> current_;
  uint64_t bytes_ = 0;
};

}  // namespace taskfold
