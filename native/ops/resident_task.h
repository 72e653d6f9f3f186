#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "ops/delta_scatter.h"
#include "ops/resident_upload.h"

// What one task brings to a model on the device, and the exchange of two tasks' entries.

namespace taskfold {

/// Stored bytes that are copied as they are.
struct ResidentCopy {
  std::string name;
  Region from;
  /// First byte inside the memory that they go to.
  uint64_t at = 0;
};

/// A task's delta over a tensor of θ*.
struct ResidentDelta {
  std::string name;
  /// First byte of the dense tensor inside θ*'s memory; a multiple of 256.
  uint64_t at = 0;
  /// Elements that the delta covers: of kind rows only the first rows'.
  uint64_t elements = 0;
  Dtype dtype = Dtype::kF32;
  /// kept > 0.
  DeltaRegions delta;
};

/// Rows behind those that a delta covers. Entering the task copies them behind the tensor, over what θ* has
/// there, which is saved meanwhile.
struct ResidentTail {
  /// Inside the task's memory: the rows, and room for θ*'s bytes.
  uint64_t from = 0, saved = 0;
  /// Inside θ*'s memory.
  uint64_t at = 0;
  uint64_t length = 0;
  /// How many of these bytes θ* has: they are saved and put back. At most `length`.
  uint64_t overlap = 0;
};

/// A task as its reader laid it out; places are checked, deltas are not trusted.
struct ResidentTaskPlan {
  std::string name;
  /// Bytes at the front of the task's memory for `stored` and what tails save; deltas come behind.
  uint64_t own_bytes = 0;
  std::vector<ResidentCopy> stored;
  std::vector<ResidentTail> tails;
  std::vector<ResidentDelta> deltas;
};

/// A task on the device: one allocation with its stored tensors, tails and deltas.
class ResidentTask {
 public:
  /// Checks places against θ*'s memory of `merged_bytes` (INVALID_ARGUMENT), and every position of every
  /// delta (PACK_INVALID), because the device would write through them. Nothing is on the device yet.
  ResidentTask(ResidentTaskPlan plan, uint64_t merged_bytes, RunControl& control);

  const std::string& name() const { return plan_.name; }
  /// Bytes of its allocation.
  uint64_t bytes() const { return bytes_; }
  size_t delta_count() const { return plan_.deltas.size(); }
  /// Null before Upload; so is data().
  const std::shared_ptr<DeviceMemory>& memory() const { return memory_; }
  uint8_t* data() const { return memory_->As<uint8_t>(); }
  const std::vector<ResidentTail>& tails() const { return plan_.tails; }

  /// `memory` has bytes() bytes.
  void Upload(std::shared_ptr<DeviceMemory> memory, const LaneLease& lanes, RunControl& control);

 private:
  friend class SwapLists;
  struct Placed {
    uint64_t value, index, starts;
  };
  tf_cuda_delta DeviceDelta(size_t which) const;

  ResidentTaskPlan plan_;
  std::vector<Placed> placed_;
  uint64_t bytes_ = 0;
  std::shared_ptr<DeviceMemory> memory_;
};

/// The launches that take a model from one task to another. A tensor that both change in the same elements is
/// done in one go, while it is in the cache; where they cover other elements, leaving comes first.
class SwapLists {
 public:
  /// Either may be null: θ* itself.
  SwapLists(const ResidentTask* leave, const ResidentTask* enter, uint8_t* merged);
  /// To be run first, before tails are put back.
  std::vector<tf_cuda_swap_tensor> before;
  std::vector<tf_cuda_swap_tensor> main;
  /// Of a list.
  static uint64_t Blocks(const std::vector<tf_cuda_swap_tensor>& list);
};

}  // namespace taskfold
