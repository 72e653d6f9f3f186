#include <algorithm>

#include "addon/async_job.h"
#include "addon/bindings.h"
#include "addon/error_value.h"
#include "addon/low_rank_argument.h"
#include "ops/randomized_svd.h"

namespace taskfold {
namespace {

// Far beyond any use: a sketch of 16 columns more and 4 iterations leave nothing to gain. A typo would run
// on.
constexpr uint64_t kMaxOversample = 4096;
constexpr uint64_t kMaxPowerIterations = 100;

MatrixSource ReadSource(Napi::Object job, Pins* pins) {
  MatrixSource source;
  source.name = ReadString(job, "name");
  source.rows = static_cast<size_t>(ReadCount(job, "rows"));
  source.columns = static_cast<size_t>(ReadCount(job, "columns"));
  source.matrix = ReadOperand(job, "matrix", pins);
  if (!IsNullish(job, "minus")) source.minus = ReadOperand(job, "minus", pins);
  return source;
}

std::optional<double> ReadEnergy(Napi::Object job) {
  if (IsNullish(job, "energy")) return std::nullopt;
  const double energy = ReadNumber(job, "energy");
  if (!(energy > 0 && energy <= 1)) {
    throw ArgumentError(job.Env(), "expected energy to be above 0 and at most 1");
  }
  return energy;
}

}  // namespace

Napi::Value BindRandomizedSvd(const Napi::CallbackInfo& info) {
  const Napi::Object object = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  RandomizedSvdJob job;
  job.source = ReadSource(object, &pins);
  const size_t least = std::min(job.source.rows, job.source.columns);
  if (least == 0) throw ArgumentError(info.Env(), "expected rows and columns to be at least 1");
  job.rank = static_cast<size_t>(ReadCountWithin(object, "rank", 1, std::min<uint64_t>(least, kMaxRank)));
  job.energy = ReadEnergy(object);
  job.oversample = static_cast<size_t>(ReadCountWithin(object, "oversample", 0, kMaxOversample));
  job.power_iterations = static_cast<size_t>(ReadCountWithin(object, "powerIters", 0, kMaxPowerIterations));
  job.seed = ReadCount(object, "seed");
  job.split = ReadSplit(object);
  job.out_b = ReadOperand(object, "outB", &pins);
  job.out_a = ReadOperand(object, "outA", &pins);
  return StartJob(
      info.Env(), info[1], std::move(pins),
      [job = std::move(job)](RunControl& control) { return RandomizedSvd(job, control); },
      [](Napi::Env env, RandomizedSvdResult& found) -> Napi::Value {
        const Napi::Object result = Napi::Object::New(env);
        result.Set("kept", static_cast<double>(found.kept));
        result.Set("singularValues", DoubleArray(env, found.values));
        result.Set("squaredNorm", found.squared_norm);
        return result;
      });
}

}  // namespace taskfold
