#include "addon/addon_data.h"
#include "addon/argument.h"
#include "addon/bindings.h"
#include "addon/error_value.h"
#include "addon/string_array.h"
#include "backend/cuda_loader.h"
#include "backend/registry.h"
#include "core/thread_pool.h"

namespace taskfold {

Napi::Value Devices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object cpu = Napi::Object::New(env);
  cpu.Set("simd", CurrentSimdTargetName());
  cpu.Set("simdAvailable", StringArray(env, SimdTargetNames()));
  cpu.Set("threads", static_cast<double>(MachineThreads()));
  const CudaStatus status = ProbeCuda(AddonData::Of(env).cuda_library, false);
  const Napi::Array devices = Napi::Array::New(env, status.devices.size());
  for (size_t i = 0; i < status.devices.size(); i++) {
    const Napi::Object device = Napi::Object::New(env);
    device.Set("name", status.devices[i].name);
    device.Set("memoryBytes", static_cast<double>(status.devices[i].memory_bytes));
    devices.Set(static_cast<uint32_t>(i), device);
  }
  const Napi::Object cuda = Napi::Object::New(env);
  cuda.Set("available", status.available);
  cuda.Set("reason", status.reason);
  cuda.Set("devices", devices);
  const Napi::Object result = Napi::Object::New(env);
  result.Set("cpu", cpu);
  result.Set("cuda", cuda);
  return result;
}

Napi::Value BindSetSimdTarget(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string name = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
  if (!ForceSimdTarget(name)) {
    throw ArgumentError(
        env, "this machine has no SIMD target named '" + name + "'; see devices().cpu.simdAvailable");
  }
  return env.Undefined();
}

Napi::Value SetCudaLibrary(const Napi::CallbackInfo& info) {
  if (!info[0].IsString()) throw ArgumentError(info.Env(), "expected the library's path to be a string");
  AddonData::Of(info.Env()).cuda_library = info[0].As<Napi::String>().Utf8Value();
  return info.Env().Undefined();
}

}  // namespace taskfold
