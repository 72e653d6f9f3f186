#include "addon/addon_data.h"
#include "addon/argument.h"
#include "addon/async_job.h"
#include "addon/bindings.h"
#include "addon/error_value.h"
#include "addon/string_array.h"
#include "addon/wrapped.h"
#include "ops/dlpack_tensor.h"
#include "ops/resident_model.h"

namespace taskfold {
namespace {

using ModelPointer = std::shared_ptr<ResidentModel>;

/// The model that JavaScript holds. Jobs that run hold it as well, and so does what DLPack consumers took
/// over hold its memory.
class ResidentObject : public Napi::ObjectWrap<ResidentObject> {
 public:
  static constexpr napi_type_tag kTag{0x7461736b666f6c64, 0x7265736964650001};

  /// The class of this environment, made on first use.
  static Napi::Function Class(Napi::Env env);
  explicit ResidentObject(const Napi::CallbackInfo& info);

 private:
  static Napi::Value AddTask(const Napi::CallbackInfo& info);
  static Napi::Value DropTask(const Napi::CallbackInfo& info);
  static Napi::Value SwitchTo(const Napi::CallbackInfo& info);
  static Napi::Value Read(const Napi::CallbackInfo& info);
  static Napi::Value ExportHandle(const Napi::CallbackInfo& info);
  static Napi::Value Dlpack(const Napi::CallbackInfo& info);
  static Napi::Value State(const Napi::CallbackInfo& info);
  static Napi::Value Close(const Napi::CallbackInfo& info);
  static ResidentObject* Self(const Napi::CallbackInfo& info);
  /// INVALID_ARGUMENT once closed.
  static ModelPointer Open(const Napi::CallbackInfo& info);
  ModelPointer model_;
};

std::optional<std::string> ReadTask(Napi::Env env, Napi::Value value) {
  if (value.IsNull()) return std::nullopt;
  if (!value.IsString()) throw ArgumentError(env, "expected task to be a string or null");
  return value.As<Napi::String>().Utf8Value();
}

std::vector<ResidentCopy> ReadCopies(Napi::Object parent, const char* key, Pins* pins) {
  std::vector<ResidentCopy> copies;
  ForEachObject(parent, key, [&](Napi::Object object) {
    copies.push_back({ReadString(object, "name"), ReadRegion(object, "from", pins), ReadCount(object, "at")});
  });
  return copies;
}

ResidentTaskPlan ReadTaskPlan(Napi::Object job, Pins* pins) {
  ResidentTaskPlan plan;
  plan.name = ReadString(job, "name");
  plan.own_bytes = ReadCount(job, "ownBytes");
  plan.stored = ReadCopies(job, "stored", pins);
  ForEachObject(job, "tails", [&](Napi::Object object) {
    ResidentTail tail;
    tail.from = ReadCount(object, "from");
    tail.saved = ReadCount(object, "saved");
    tail.at = ReadCount(object, "at");
    tail.length = ReadCount(object, "length");
    tail.overlap = ReadCount(object, "overlap");
    plan.tails.push_back(tail);
  });
  ForEachObject(job, "deltas", [&](Napi::Object object) {
    ResidentDelta tensor;
    tensor.name = ReadString(object, "name");
    tensor.at = ReadCount(object, "at");
    tensor.elements = ReadCount(object, "elements");
    tensor.dtype = ReadDtype(object, "dtype");
    if (auto delta = ReadDelta(object, "delta", pins)) tensor.delta = *std::move(delta);
    plan.deltas.push_back(std::move(tensor));
  });
  return plan;
}

std::vector<int64_t> ReadShape(Napi::Object object) {
  std::vector<int64_t> shape;
  const Napi::Value value = object.Get("shape");
  if (!value.IsArray()) throw ArgumentError(object.Env(), "expected shape to be an array");
  const auto extents = value.As<Napi::Array>();
  for (uint32_t i = 0; i < extents.Length(); i++) {
    const Napi::Object holder = Napi::Object::New(object.Env());
    holder.Set("shape", extents.Get(i));
    shape.push_back(static_cast<int64_t>(ReadCount(holder, "shape")));
  }
  return shape;
}

Napi::Function ResidentObject::Class(Napi::Env env) {
  Napi::FunctionReference& known = AddonData::Of(env).resident_class;
  if (known.IsEmpty()) {
    const Napi::Function type = DefineClass(env, "ResidentModel", {});
    const Napi::Object prototype = type.Get("prototype").As<Napi::Object>();
    const auto method = [&](const char* name, Napi::Value (*callback)(const Napi::CallbackInfo&)) {
      prototype.Set(name, Napi::Function::New(env, callback, name));
    };
    method("addTask", AddTask);
    method("dropTask", DropTask);
    method("switchTo", SwitchTo);
    method("read", Read);
    method("exportHandle", ExportHandle);
    method("dlpack", Dlpack);
    method("state", State);
    method("close", Close);
    known = Napi::Persistent(type);
  }
  return known.Value();
}

ResidentObject::ResidentObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ResidentObject>(info) {
  if (info.Length() < 1 || !info[0].IsExternal()) {
    throw ArgumentError(info.Env(), "a resident model is made by loadResidentModel");
  }
  info.This().As<Napi::Object>().TypeTag(&kTag);
  model_ = *info[0].As<Napi::External<ModelPointer>>().Data();
}

ResidentObject* ResidentObject::Self(const Napi::CallbackInfo& info) {
  return CheckedUnwrap<ResidentObject>(info.Env(), info.This(), "this", "a resident model");
}

ModelPointer ResidentObject::Open(const Napi::CallbackInfo& info) {
  const ModelPointer& model = Self(info)->model_;
  if (!model) throw ArgumentError(info.Env(), "the model was closed");
  return model;
}

Napi::Value ResidentObject::AddTask(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  ResidentTaskPlan plan = ReadTaskPlan(job, &pins);
  const bool drop = ReadFlag(job, "drop");
  return StartVoidJob(info.Env(), info[1], std::move(pins),
                      [model = Open(info), plan = std::move(plan), drop](RunControl& control) mutable {
                        // Its last reference may be this job's: it must not wait for the environment.
                        const ModelPointer held = std::move(model);
                        held->AddTask(std::move(plan), drop, control);
                      });
}

Napi::Value ResidentObject::DropTask(const Napi::CallbackInfo& info) {
  std::optional<std::string> task = ReadTask(info.Env(), info[0]);
  if (!task) throw ArgumentError(info.Env(), "expected task to be a string");
  return StartVoidJob(info.Env(), info.Env().Undefined(), {},
                      [model = Open(info), task = std::move(task)](RunControl&) mutable {
                        const ModelPointer held = std::move(model);
                        held->DropTask(*task);
                      });
}

Napi::Value ResidentObject::SwitchTo(const Napi::CallbackInfo& info) {
  std::optional<std::string> task = ReadTask(info.Env(), info[0]);
  return StartVoidJob(info.Env(), info[1], {},
                      [model = Open(info), task = std::move(task)](RunControl& control) mutable {
                        const ModelPointer held = std::move(model);
                        held->SwitchTo(task, control);
                      });
}

Napi::Value ResidentObject::Read(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  std::optional<std::string> task = ReadTask(info.Env(), job.Get("task"));
  const uint64_t at = ReadCount(job, "at");
  const Region out = ReadRegion(job, "out", &pins);
  return StartVoidJob(info.Env(), info[1], std::move(pins),
                      [model = Open(info), task = std::move(task), at, out](RunControl& control) mutable {
                        const ModelPointer held = std::move(model);
                        held->Read(task, at, out, control);
                      });
}

Napi::Value ResidentObject::ExportHandle(const Napi::CallbackInfo& info) {
  std::optional<std::string> task = ReadTask(info.Env(), info[0]);
  return StartJob(
      info.Env(), info.Env().Undefined(), {},
      [model = Open(info), task = std::move(task)](RunControl&) mutable {
        const ModelPointer held = std::move(model);
        return held->ExportHandle(task);
      },
      [](Napi::Env env, std::vector<uint8_t>& handle) -> Napi::Value {
        return Napi::Buffer<uint8_t>::Copy(env, handle.data(), handle.size());
      });
}

Napi::Value ResidentObject::Dlpack(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  const uint64_t at = ReadCount(job, "at");
  const uint64_t bytes = ReadCount(job, "bytes");
  const std::string dtype = ReadString(job, "dtype");
  const std::vector<int64_t> shape = ReadShape(job);
  const std::optional<std::string> task = ReadTask(info.Env(), job.Get("task"));
  try {
    DlpackTensor* tensor = NewDlpackTensor(Open(info)->Share(task, at, bytes), at, bytes, dtype, shape);
    return Napi::BigInt::New(info.Env(), reinterpret_cast<uint64_t>(tensor));
  } catch (const Error& error) {
    throw ErrorValue(info.Env(), error);
  }
}

Napi::Value ResidentObject::State(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const ResidentState state = Open(info)->state();
  const Napi::Object value = Napi::Object::New(env);
  value.Set("current", state.current ? Napi::Value(Napi::String::New(env, *state.current)) : env.Null());
  value.Set("loaded", StringArray(env, state.loaded));
  value.Set("bytes", static_cast<double>(state.bytes));
  value.Set("mergedAddress", Napi::BigInt::New(env, state.merged_address));
  value.Set("taskAddress", Napi::BigInt::New(env, state.task_address));
  return value;
}

Napi::Value ResidentObject::Close(const Napi::CallbackInfo& info) {
  Self(info)->model_.reset();
  return info.Env().Undefined();
}

}  // namespace

Napi::Value BindLoadResidentModel(const Napi::CallbackInfo& info) {
  const Napi::Object job = ReadObject(info.Env(), info[0], "job");
  Pins pins;
  const uint64_t bytes = ReadCount(job, "bytes");
  std::vector<ResidentCopy> copies = ReadCopies(job, "copies", &pins);
  return StartJob(
      info.Env(), info[1], std::move(pins),
      [bytes, copies = std::move(copies)](RunControl& control) {
        if (control.devices() == nullptr) {
          throw Error("INVALID_ARGUMENT", "expected control.device to be a device set");
        }
        auto model = std::make_shared<ResidentModel>(control.devices()->shared_from_this(), bytes);
        model->LoadMerged(copies, control);
        return model;
      },
      [](Napi::Env env, ModelPointer& model) -> Napi::Value {
        return ResidentObject::Class(env).New({Napi::External<ModelPointer>::New(env, &model)});
      });
}

}  // namespace taskfold
