#pragma once
#include <napi.h>

#include <vector>

#include "addon/argument.h"
#include "ops/factor_writer.h"
#include "ops/product_side.h"

// Arguments that the low-rank jobs share.

namespace taskfold {

/// Beyond any adapter; a wrong number here would ask for memory by its square.
constexpr uint64_t kMaxRank = 65536;

/// A LoRA product: b, a, rank and scale.
LowRankProduct ReadProduct(Napi::Object object, Pins* pins);
/// 'sqrt' or 'none'.
SvdSplit ReadSplit(Napi::Object job);
/// A Float64Array with a copy of the values.
Napi::Value DoubleArray(Napi::Env env, const std::vector<double>& values);

}  // namespace taskfold
