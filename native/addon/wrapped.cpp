#include "addon/wrapped.h"

#include "addon/addon_data.h"

namespace taskfold {

namespace {

using Callback = Napi::Value (*)(const Napi::CallbackInfo&);

void AddMethod(Napi::Function type, const char* name, Callback callback) {
  type.Get("prototype").As<Napi::Object>().Set(name, Napi::Function::New(type.Env(), callback, name));
}

void SetConstant(Napi::Object object, const char* name, Napi::Value value) {
  object.DefineProperty(Napi::PropertyDescriptor::Value(name, value, napi_enumerable));
}

}  // namespace

void FileObject::Define(Napi::Env env) {
  const Napi::Function type = DefineClass(env, "NativeFile", {});
  AddMethod(type, "close", Close);
  AddonData::Of(env).file_class = Napi::Persistent(type);
}

FileObject::FileObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FileObject>(info) {
  if (info.Length() < 2 || !info[0].IsString() || !info[1].IsString()) {
    throw ArgumentError(info.Env(), "expected openFile(path, flags) to get two strings");
  }
  const std::string flags = info[1].As<Napi::String>().Utf8Value();
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  if (flags != "r" && flags != "w") throw ArgumentError(info.Env(), "expected flags to be 'r' or 'w'");
  if (path.find('\0') != std::string::npos) throw ArgumentError(info.Env(), "the path holds a NUL character");
  try {
    file_ = File::Open(path, flags == "r" ? File::Mode::kRead : File::Mode::kWrite);
  } catch (const Error& error) {
    throw ErrorValue(info.Env(), error);
  }
  const Napi::Object self = info.This().As<Napi::Object>();
  self.TypeTag(&kTag);
  SetConstant(self, "path", info[0]);
  SetConstant(self, "size", Napi::Number::New(info.Env(), static_cast<double>(file_->size_at_open())));
}

Napi::Value FileObject::Close(const Napi::CallbackInfo& info) {
  CheckedUnwrap<FileObject>(info.Env(), info.This(), "this", "a file opened with openFile")->file_.reset();
  return info.Env().Undefined();
}

void CancelObject::Define(Napi::Env env) {
  const Napi::Function type = DefineClass(env, "CancelToken", {});
  AddMethod(type, "cancel", Cancel);
  AddonData::Of(env).cancel_class = Napi::Persistent(type);
}

CancelObject::CancelObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<CancelObject>(info), flag_(std::make_shared<CancelFlag>()) {
  info.This().As<Napi::Object>().TypeTag(&kTag);
}

Napi::Value CancelObject::Cancel(const Napi::CallbackInfo& info) {
  CheckedUnwrap<CancelObject>(info.Env(), info.This(), "this", "a CancelToken")->flag_->cancelled = true;
  return info.Env().Undefined();
}

void SelectionObject::Define(Napi::Env env) {
  const Napi::Function type =
      DefineClass(env, "Selection", {StaticMethod<&SelectionObject::Restore>("restore")});
  AddMethod(type, "advance", Advance);
  AddMethod(type, "thresholds", Thresholds);
  AddMethod(type, "snapshot", Snapshot);
  AddonData::Of(env).selection_class = Napi::Persistent(type);
}

SelectionObject::SelectionObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SelectionObject>(info) {
  const Napi::Env env = info.Env();
  info.This().As<Napi::Object>().TypeTag(&kTag);
  try {
    if (info.Length() > 0 && info[0].IsExternal()) {  // Selection.restore
      shared_ = *info[0].As<Napi::External<std::shared_ptr<SharedSelection>>>().Data();
      return;
    }
    const Napi::Object wrapper = Napi::Object::New(env);
    wrapper.Set("tasks", info.Length() > 0 ? info[0] : env.Undefined());
    std::vector<Selection::Goal> goals;
    ForEachObject(wrapper, "tasks", [&](Napi::Object task) {
      goals.push_back({ReadCount(task, "k"), ReadCount(task, "elements")});
    });
    shared_ = std::make_shared<SharedSelection>(std::make_unique<Selection>(goals));
  } catch (const Error& error) {
    throw ErrorValue(env, error);
  }
}

Napi::Value SelectionObject::Restore(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsTypedArray()) {
    throw ArgumentError(env, "expected the snapshot to be a Uint8Array");
  }
  Pins pins;
  const Region bytes = ReadRegion(env, info[0], "snapshot", &pins);
  return StartJob(
      env, env.Undefined(), std::move(pins),
      [bytes](RunControl&) {
        return std::make_shared<SharedSelection>(
            Selection::Restore(bytes.memory(), static_cast<size_t>(bytes.length())));
      },
      [](Napi::Env e, std::shared_ptr<SharedSelection>& restored) -> Napi::Value {
        return AddonData::Of(e).selection_class.New(
            {Napi::External<std::shared_ptr<SharedSelection>>::New(e, &restored)});
      });
}

Selection& SelectionObject::Idle(const Napi::CallbackInfo& info) {
  const auto& shared =
      CheckedUnwrap<SelectionObject>(info.Env(), info.This(), "this", "a Selection")->shared_;
  if (shared->users > 0) throw ArgumentError(info.Env(), "the selection is in use by a running job");
  return *shared->selection;
}

Napi::Value SelectionObject::Advance(const Napi::CallbackInfo& info) {
  try {
    return Napi::Boolean::New(info.Env(), Idle(info).Advance());
  } catch (const Error& error) {
    throw ErrorValue(info.Env(), error);
  }
}

Napi::Value SelectionObject::Thresholds(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  try {
    const std::vector<Threshold> thresholds = Idle(info).Thresholds();
    const Napi::Array array = Napi::Array::New(env, thresholds.size());
    for (size_t i = 0; i < thresholds.size(); i++) {
      const Napi::Object value = Napi::Object::New(env);
      value.Set("key", static_cast<double>(thresholds[i].key));
      value.Set("ties", static_cast<double>(thresholds[i].ties));
      array.Set(static_cast<uint32_t>(i), value);
    }
    return array;
  } catch (const Error& error) {
    throw ErrorValue(env, error);
  }
}

Napi::Value SelectionObject::Snapshot(const Napi::CallbackInfo& info) {
  Idle(info);
  const auto& shared =
      CheckedUnwrap<SelectionObject>(info.Env(), info.This(), "this", "a Selection")->shared_;
  auto use = std::make_shared<SelectionUse>(info.Env(), shared, true);
  return StartJob(
      info.Env(), info.Env().Undefined(), {},
      [use = std::move(use)](RunControl&) mutable {
        const auto done = std::move(use);
        return done->get()->Snapshot();
      },
      [](Napi::Env env, std::vector<uint8_t>& bytes) -> Napi::Value {
        return Napi::Buffer<uint8_t>::Copy(env, bytes.data(), bytes.size());
      });
}

void DeviceSetObject::Define(Napi::Env env) {
  const Napi::Function type = DefineClass(env, "DeviceSet", {});
  AddMethod(type, "close", Close);
  AddonData::Of(env).device_set_class = Napi::Persistent(type);
}

Napi::Value DeviceSetObject::Make(Napi::Env env, std::shared_ptr<DeviceSet> set) {
  return AddonData::Of(env).device_set_class.New(
      {Napi::External<std::shared_ptr<DeviceSet>>::New(env, &set)});
}

DeviceSetObject::DeviceSetObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DeviceSetObject>(info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsExternal())
    throw ArgumentError(env, "GPUs are opened with openDevices");
  set_ = *info[0].As<Napi::External<std::shared_ptr<DeviceSet>>>().Data();
  const Napi::Object self = info.This().As<Napi::Object>();
  self.TypeTag(&kTag);
  const Napi::Array devices = Napi::Array::New(env, set_->devices().size());
  for (size_t i = 0; i < set_->devices().size(); i++) {
    devices.Set(static_cast<uint32_t>(i), set_->devices()[i]);
  }
  SetConstant(self, "devices", devices);
  SetConstant(self, "memoryBytes", Napi::Number::New(env, static_cast<double>(set_->memory_bytes())));
}

Napi::Value DeviceSetObject::Close(const Napi::CallbackInfo& info) {
  // Jobs that run hold it too: the last one gives everything back.
  CheckedUnwrap<DeviceSetObject>(info.Env(), info.This(), "this", "GPUs opened with openDevices")
      ->set_.reset();
  return info.Env().Undefined();
}

}  // namespace taskfold
