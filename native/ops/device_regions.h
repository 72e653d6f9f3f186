#pragma once
#include <vector>

#include "device/device_set.h"
#include "ops/fingerprint.h"
#include "ops/work_list.h"

namespace taskfold {

/// ConvertRegion on GPUs, after its checks: the same bytes and count.
uint64_t ConvertOnDevices(DeviceSet& devices, uint64_t elements, const Operand& from, const Operand& to,
                          RunControl& control);

/// Digests of the leaves of all regions on GPUs, numbered by `list`.
void DigestOnDevices(DeviceSet& devices, const std::vector<Region>& regions, const WorkList& list,
                     Digest* leaves, RunControl& control);

}  // namespace taskfold
