#include "addon/low_rank_argument.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "addon/error_value.h"

namespace taskfold {

LowRankProduct ReadProduct(Napi::Object object, Pins* pins) {
  LowRankProduct product;
  product.b = ReadOperand(object, "b", pins);
  product.a = ReadOperand(object, "a", pins);
  product.rank = static_cast<size_t>(ReadCountWithin(object, "rank", 0, kMaxRank));
  product.scale = ReadNumber(object, "scale");
  // Products are computed in f32 or from squares in f64: a larger scale would overflow in either.
  if (!(std::fabs(product.scale) <= static_cast<double>(std::numeric_limits<float>::max()))) {
    throw ArgumentError(object.Env(), "expected scale to be a finite number within the range of f32");
  }
  return product;
}

SvdSplit ReadSplit(Napi::Object job) {
  const std::string split = ReadString(job, "split");
  if (split == "sqrt") return SvdSplit::kSqrt;
  if (split == "none") return SvdSplit::kNone;
  throw ArgumentError(job.Env(), "expected split to be 'sqrt' or 'none'");
}

Napi::Value DoubleArray(Napi::Env env, const std::vector<double>& values) {
  Napi::Float64Array array = Napi::Float64Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); i++) array[i] = values[i];
  return array;
}

}  // namespace taskfold
