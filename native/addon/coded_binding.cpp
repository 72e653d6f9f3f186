#include <cmath>

#include "addon/addon_data.h"
#include "addon/bindings.h"
#include "addon/coded_object.h"
#include "addon/wrapped.h"

namespace taskfold {
namespace {
using TaskPointer = std::shared_ptr<const CodedTask>;
}  // namespace

std::vector<CodedTensor> ReadCodedTensors(Napi::Object job) {
  std::vector<CodedTensor> tensors;
  ForEachObject(job, "tensors", [&](Napi::Object object) { tensors.push_back(ReadCodedTensor(object)); });
  return tensors;
}

CodedTensor ReadCodedTensor(Napi::Object object) {
  constexpr uint64_t kMost = (uint64_t{1} << 53) - 1;
  CodedTensor tensor;
  tensor.name = ReadString(object, "name");
  tensor.dtype = ReadDtype(object, "dtype");
  tensor.columns = ReadCountWithin(object, "columns", 1, kMost);
  tensor.rows = ReadCountWithin(object, "rows", 1, kMost / tensor.columns);
  return tensor;
}

float ReadStep(Napi::Object object, const char* key) {
  const double step = ReadNumber(object, key);
  const auto value = static_cast<float>(step);
  if (!(value > 0) || value != step || !std::isfinite(value)) {
    throw ArgumentError(object.Env(), std::string("expected ") + key + " to be an f32 above 0");
  }
  return value;
}

Napi::Function CodedTaskObject::Class(Napi::Env env) {
  Napi::FunctionReference& known = AddonData::Of(env).coded_class;
  if (known.IsEmpty()) {
    const Napi::Function type = DefineClass(env, "CodedTask", {});
    type.Get("prototype").As<Napi::Object>().Set("close", Napi::Function::New(env, Close, "close"));
    known = Napi::Persistent(type);
  }
  return known.Value();
}

Napi::Value CodedTaskObject::Make(Napi::Env env, TaskPointer task) {
  return Class(env).New({Napi::External<TaskPointer>::New(env, &task)});
}

CodedTaskObject::CodedTaskObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<CodedTaskObject>(info) {
  if (info.Length() < 1 || !info[0].IsExternal()) {
    throw ArgumentError(info.Env(), "coded tasks are opened with openCodedTask");
  }
  task_ = *info[0].As<Napi::External<TaskPointer>>().Data();
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Value CodedTaskObject::Close(const Napi::CallbackInfo& info) {
  CheckedUnwrap<CodedTaskObject>(info.Env(), info.This(), "this", "a task opened with openCodedTask")
      ->task_.reset();
  return info.Env().Undefined();
}

Napi::Value BindOpenCodedTask(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  const std::string codec = ReadString(job, "codec");
  if (codec != "step") {
    throw ArgumentError(info.Env(), "expected codec to be 'step'");
  }
  const float step = ReadStep(job, "step");
  Pins pins;
  CodedArrays arrays;
  arrays.tables = ReadRegion(job, "tables", &pins);
  arrays.directory = ReadRegion(job, "directory", &pins);
  arrays.codes = ReadRegion(job, "codes", &pins);
  // Codes are read after this job: memory that only the caller keeps alive will not do.
  if (!arrays.codes.file() && arrays.codes.length() > 0) {
    throw ArgumentError(info.Env(), "expected codes to be a region of a file");
  }
  return StartJob(
      info.Env(), info[1], std::move(pins),
      [step, arrays, tensors = ReadCodedTensors(job)](RunControl& control) mutable {
        control.ThrowIfCancelled();
        return OpenStepTask(step, std::move(tensors), arrays);
      },
      [](Napi::Env env, TaskPointer& task) -> Napi::Value { return CodedTaskObject::Make(env, task); });
}

}  // namespace taskfold
