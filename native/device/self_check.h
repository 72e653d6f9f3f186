#pragma once
#include "device/lane.h"

namespace taskfold {

/// Runs every elementwise kernel on a lane's device over seeded numbers of every dtype (NaN, infinities, ties
/// and zeros among them) and compares the bits with the CPU's. DEVICE_UNAVAILABLE naming device, kernel and
/// dtype at the first difference. The lane must be begun.
void SelfCheck(Lane& lane);

}  // namespace taskfold
