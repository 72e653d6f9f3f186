#pragma once
#include <optional>
#include <vector>

#include "device/device_set.h"
#include "ops/delta_scatter.h"

namespace taskfold {

/// ScatterTensors on GPUs, after its checks: the same bytes and errors.
void ScatterOnDevices(DeviceSet& devices, const std::vector<ScatterTensor>& tensors,
                      const std::vector<std::optional<DeltaDecoder>>& decoders, RunControl& control);

}  // namespace taskfold
