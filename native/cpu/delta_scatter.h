#pragma once
#include "backend/backend.h"

namespace taskfold {

void FillDeltaScatter(TfBackend* table);

}  // namespace taskfold
