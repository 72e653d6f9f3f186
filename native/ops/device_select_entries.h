#pragma once
#include <optional>

#include "device/device_set.h"
#include "ops/select_entries.h"
#include "ops/task_vector.h"

namespace taskfold {

/// SelectEntries on one lane of a GPU: the values stay there while passes count them. Nothing when the lane
/// cannot hold them, or when a NaN is in the way of an exact answer: then the CPU has to say so.
std::optional<SelectedEntries> SelectOnDevice(DeviceSet& devices, const ResidualTensor& tensor, uint64_t k,
                                              bool keep_non_finite, RunControl& control);

}  // namespace taskfold
