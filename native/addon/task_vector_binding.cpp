#include <cmath>

#include "addon/argument.h"
#include "addon/async_job.h"
#include "addon/bindings.h"
#include "addon/candidate_spill_object.h"
#include "addon/error_value.h"
#include "addon/string_array.h"
#include "ops/task_vector.h"

namespace taskfold {
namespace {

std::vector<MergeTensor> ReadMergeTensors(Napi::Object job, bool with_out, Pins* pins) {
  return ReadTensors<MergeTensor>(job, [&](Napi::Object object, MergeTensor* tensor) {
    tensor->base = ReadOperand(object, "base", pins);
    tensor->tasks = ReadOperands(object, "tasks", pins);
    if (with_out) tensor->out = ReadOptionalRegion(object, "out", pins);
  });
}

float ReadLambda(Napi::Object job) {
  const double value = ReadNumber(job, "lambda");
  const auto lambda = static_cast<float>(value);
  if (!std::isfinite(lambda) || static_cast<double>(lambda) != value) {
    throw ArgumentError(job.Env(), "expected lambda to be a finite f32 (use Math.fround)");
  }
  return lambda;
}

}  // namespace

Napi::Value BindSampleResiduals(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  auto tensors = ReadMergeTensors(job, false, &pins);
  const float lambda = ReadLambda(job);
  auto use = std::make_shared<SelectionUse>(info.Env(), ReadSelection(job, "selection", false), true);
  return StartVoidJob(
      info.Env(), info[1], std::move(pins),
      [tensors = std::move(tensors), lambda, use = std::move(use)](RunControl& control) mutable {
        const auto done = std::move(use);
        SampleResiduals(tensors, lambda, *done->get(), control);
      });
}

Napi::Value BindMergeTensors(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  auto tensors = ReadMergeTensors(job, true, &pins);
  MergeOptions options;
  options.lambda = ReadLambda(job);
  options.keep_non_finite = ReadKeepNonFinite(job);
  auto use = std::make_shared<SelectionUse>(info.Env(), ReadSelection(job, "selection", true), false);
  auto spill = std::make_shared<SpillUse>(info.Env(), ReadSpill(job, "spill"), true);
  return StartJob(
      info.Env(), info[1], std::move(pins),
      [tensors = std::move(tensors), options, use = std::move(use),
       spill = std::move(spill)](RunControl& control) mutable {
        const auto done = std::move(use);
        const auto spilled = std::move(spill);
        options.selection = done->get();
        options.spill = spilled->get();
        return MergeTensors(tensors, options, control);
      },
      [](Napi::Env env, MergeFingerprints& fingerprints) -> Napi::Value {
        const Napi::Object result = Napi::Object::New(env);
        result.Set("merged", StringArray(env, fingerprints.merged));
        result.Set("base", StringArray(env, fingerprints.base));
        return result;
      });
}

Napi::Value BindCountResiduals(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  auto tensors = ReadTensors<ResidualTensor>(job, [&](Napi::Object object, ResidualTensor* tensor) {
    tensor->merged = ReadRegion(object, "merged", &pins);
    tensor->tasks = ReadOperands(object, "tasks", &pins);
  });
  const bool keep = ReadKeepNonFinite(job);
  auto use = std::make_shared<SelectionUse>(info.Env(), ReadSelection(job, "selection", false), false);
  return StartVoidJob(
      info.Env(), info[1], std::move(pins),
      [tensors = std::move(tensors), keep, use = std::move(use)](RunControl& control) mutable {
        const auto done = std::move(use);
        CountResiduals(tensors, *done->get(), keep, control);
      });
}

}  // namespace taskfold
