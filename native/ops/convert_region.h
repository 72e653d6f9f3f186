#pragma once
#include "core/region.h"
#include "core/run_control.h"

namespace taskfold {

/// Converts `elements` numbers between floating dtypes, round to nearest even. Returns how many values
/// changed.
uint64_t ConvertRegion(uint64_t elements, const Operand& from, const Operand& to, RunControl& control);

}  // namespace taskfold
