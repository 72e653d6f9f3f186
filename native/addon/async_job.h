#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/run_control.h"

namespace taskfold {

/// JavaScript objects whose memory a job uses: kept alive until it settled.
using Pins = std::vector<Napi::ObjectReference>;

/// Starts a job on a thread of its own and returns its promise. `run` must not touch JavaScript; `result`
/// runs on the environment's thread afterwards. `control` is the JobControl object of binding-types.ts.
Napi::Value StartErasedJob(Napi::Env env, Napi::Value control, Pins pins,
                           std::function<void(RunControl&)> run,
                           std::function<Napi::Value(Napi::Env)> result);

/// The same for a function with a result: run(RunControl&) → T, convert(env, T&) → value.
template <class Run, class Convert>
Napi::Value StartJob(Napi::Env env, Napi::Value control, Pins pins, Run run, Convert convert) {
  using T = decltype(run(std::declval<RunControl&>()));
  auto slot = std::make_shared<std::optional<T>>();
  auto shared_run = std::make_shared<Run>(std::move(run));
  return StartErasedJob(
      env, control, std::move(pins), [slot, shared_run](RunControl& c) { slot->emplace((*shared_run)(c)); },
      [slot, convert = std::move(convert)](Napi::Env e) -> Napi::Value { return convert(e, **slot); });
}

/// The same without a result.
template <class Run>
Napi::Value StartVoidJob(Napi::Env env, Napi::Value control, Pins pins, Run run) {
  auto shared_run = std::make_shared<Run>(std::move(run));
  return StartErasedJob(
      env, control, std::move(pins), [shared_run](RunControl& c) { (*shared_run)(c); },
      [](Napi::Env e) -> Napi::Value { return e.Undefined(); });
}

}  // namespace taskfold
