#pragma once
#include <vector>

#include "device/device_set.h"
#include "ops/fingerprint.h"
#include "ops/task_vector.h"
#include "ops/work_list.h"

namespace taskfold {

/// Digests of the leaves of all tensors, numbered by `list`.
struct MergeLeaves {
  const WorkList& list;
  Digest* merged;
  Digest* base;  // only those of a base of the storage dtype are written
};

/// MergeTensors on GPUs, after its checks and BeginPass: the same bytes, counts, digests and errors. False,
/// with nothing done, when the lanes cannot hold it (little GPU memory, or too many counters) or there is no
/// task. INVALID_ARGUMENT for more tasks than the kernels take.
bool MergeOnDevices(DeviceSet& devices, const std::vector<MergeTensor>& tensors, const MergeOptions& options,
                    const MergeLeaves& leaves, RunControl& control);

/// CountResiduals on GPUs, in the same way.
bool CountOnDevices(DeviceSet& devices, const std::vector<ResidualTensor>& tensors, Selection& selection,
                    bool keep_non_finite, RunControl& control);

}  // namespace taskfold
