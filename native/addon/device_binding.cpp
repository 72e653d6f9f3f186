#include "addon/addon_data.h"
#include "addon/argument.h"
#include "addon/async_job.h"
#include "addon/bindings.h"
#include "addon/error_value.h"
#include "addon/string_array.h"
#include "addon/wrapped.h"
#include "backend/cuda_library.h"
#include "backend/cuda_loader.h"
#include "backend/registry.h"
#include "core/thread_pool.h"
#include "device/device_set.h"

namespace taskfold {

Napi::Value Devices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object cpu = Napi::Object::New(env);
  cpu.Set("simd", CurrentSimdTargetName());
  cpu.Set("simdAvailable", StringArray(env, SimdTargetNames()));
  cpu.Set("threads", static_cast<double>(MachineThreads()));
  const Napi::Object result = Napi::Object::New(env);
  result.Set("cpu", cpu);
  return result;
}

Napi::Value BindProbeCuda(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsBoolean()) throw ArgumentError(env, "expected start to be true or false");
  const CudaStatus status = ProbeCuda(AddonData::Of(env).cuda_library, info[0].As<Napi::Boolean>());
  const Napi::Array devices = Napi::Array::New(env, status.devices.size());
  for (size_t i = 0; i < status.devices.size(); i++) {
    const CudaDevice& from = status.devices[i];
    const Napi::Object device = Napi::Object::New(env);
    device.Set("index", from.index);
    device.Set("name", from.name);
    device.Set("busId", from.bus_id);
    device.Set("memoryBytes", static_cast<double>(from.memory_bytes));
    device.Set("freeBytes", static_cast<double>(from.free_bytes));
    device.Set("computeCapability", std::to_string(from.major) + "." + std::to_string(from.minor));
    device.Set("multiprocessors", from.multiprocessors);
    devices.Set(static_cast<uint32_t>(i), device);
  }
  const Napi::Object cuda = Napi::Object::New(env);
  cuda.Set("available", status.available);
  cuda.Set("reason", status.reason);
  cuda.Set("driverVersion", status.driver_version);
  cuda.Set("runtimeVersion", status.runtime_version);
  cuda.Set("devices", devices);
  return cuda;
}

Napi::Value BindCudaDriverPresent(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), CudaDriverPresent());
}

Napi::Value BindOpenDevices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object options = ReadObject(env, info[0], "options");
  const std::vector<int32_t> devices = ReadDeviceNumbers(options, "devices");
  std::optional<uint64_t> memory_bytes;
  if (!IsNullish(options, "memoryBytes")) memory_bytes = ReadCount(options, "memoryBytes");
  return StartJob(
      env, env.Undefined(), {},
      [library = AddonData::Of(env).cuda_library, devices, memory_bytes](RunControl&) {
        return DeviceSet::Open(library, devices, memory_bytes);
      },
      [](Napi::Env e, std::shared_ptr<DeviceSet>& set) -> Napi::Value {
        return DeviceSetObject::Make(e, std::move(set));
      });
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
