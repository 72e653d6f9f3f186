#pragma once
#include <string>
#include <vector>

#include "core/region.h"
#include "core/run_control.h"

namespace taskfold {

struct RegionCopy {
  std::string name;
  Region from, to;
};

/// Plain byte copies, in parallel over pieces. INVALID_ARGUMENT when two lengths differ.
void CopyRegions(const std::vector<RegionCopy>& copies, RunControl& control);

}  // namespace taskfold
