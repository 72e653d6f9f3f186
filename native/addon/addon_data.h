#pragma once
#include <napi.h>

#include <string>

namespace taskfold {

/// State of one environment: the main thread or one worker_threads Worker.
struct AddonData {
  Napi::FunctionReference file_class, cancel_class, selection_class, device_set_class, resident_class,
      coded_class, spill_class;
  std::string cuda_library;

  static AddonData& Of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }
};

}  // namespace taskfold
