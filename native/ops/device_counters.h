#pragma once
#include <vector>

#include "device/device_set.h"
#include "ops/selection.h"

namespace taskfold {

/// Histograms of a selection's windows in device memory, one set a lane, added to the selection when a pass
/// is over.
class DeviceCounters {
 public:
  /// `slot`: of every lane's device memory. Without a selection there is one tally that only looks for NaN.
  DeviceCounters(const Selection* selection, size_t workers, size_t slot);

  /// Device memory they take on a lane.
  uint64_t bytes() const { return bytes_; }
  /// The windows of all tasks on this worker's lane; cleared when they are asked for the first time.
  const std::vector<tf_cuda_window>& Windows(Lane& lane, unsigned worker);
  /// Waits. Has any tally of this lane seen a NaN?
  bool SawNaN(Lane& lane, unsigned worker);
  /// Waits, and adds what all lanes counted.
  void AddTo(Selection& selection, const LaneLease& lanes);

 private:
  std::vector<tf_cuda_window> shape_;  // without pointers
  std::vector<std::vector<tf_cuda_window>> workers_;
  size_t slot_;
  uint64_t bytes_ = 0;
};

}  // namespace taskfold
