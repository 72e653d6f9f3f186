#include "addon/wrapped.h"

#include "addon/addon_data.h"
#include "addon/error_value.h"

namespace taskfold {

void FileObject::Define(Napi::Env env) {
  const Napi::Function type = DefineClass(env, "NativeFile",
                                          {InstanceAccessor<&FileObject::GetSize>("size"),
                                           InstanceAccessor<&FileObject::GetPath>("path"),
                                           InstanceMethod<&FileObject::Close>("close")});
  AddonData::Of(env).file_class = Napi::Persistent(type);
}

FileObject::FileObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FileObject>(info) {
  if (info.Length() < 2 || !info[0].IsString() || !info[1].IsString()) {
    throw ArgumentError(info.Env(), "expected openFile(path, flags) to get two strings");
  }
  const std::string flags = info[1].As<Napi::String>().Utf8Value();
  path_ = info[0].As<Napi::String>().Utf8Value();
  if (flags != "r" && flags != "w") throw ArgumentError(info.Env(), "expected flags to be 'r' or 'w'");
  if (path_.find('\0') != std::string::npos) throw ArgumentError(info.Env(), "the path holds a NUL character");
  try {
    file_ = File::Open(path_, flags == "r" ? File::Mode::kRead : File::Mode::kWrite);
  } catch (const Error& error) {
    throw ErrorValue(info.Env(), error);
  }
  size_ = file_->size_at_open();
}

Napi::Value FileObject::GetSize(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(size_));
}

Napi::Value FileObject::GetPath(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), path_); }

void FileObject::Close(const Napi::CallbackInfo&) { file_.reset(); }

void CancelObject::Define(Napi::Env env) {
  AddonData::Of(env).cancel_class = Napi::Persistent(
      DefineClass(env, "CancelToken", {InstanceMethod<&CancelObject::Cancel>("cancel")}));
}

void SelectionObject::Define(Napi::Env env) {
  AddonData::Of(env).selection_class =
      Napi::Persistent(DefineClass(env, "Selection",
                                   {StaticMethod<&SelectionObject::Restore>("restore"),
                                    InstanceMethod<&SelectionObject::Advance>("advance"),
                                    InstanceMethod<&SelectionObject::Thresholds>("thresholds"),
                                    InstanceMethod<&SelectionObject::Snapshot>("snapshot")}));
}

SelectionObject::SelectionObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SelectionObject>(info) {
  const Napi::Env env = info.Env();
  try {
    if (info.Length() > 0 && info[0].IsTypedArray()) {  // Selection.restore
      Pins pins;
      const Region bytes = ReadRegion(env, info[0], "snapshot", &pins);
      shared_ = std::make_shared<SharedSelection>(
          Selection::Restore(bytes.memory(), static_cast<size_t>(bytes.length())));
      return;
    }
    const Napi::Object wrapper = Napi::Object::New(env);
    wrapper.Set("tasks", info.Length() > 0 ? info[0] : env.Undefined());
    std::vector<Selection::Goal> goals;
    ForEachObject(wrapper, "tasks",
                  [&](Napi::Object task) { goals.push_back({ReadCount(task, "k"), ReadCount(task, "elements")}); });
    shared_ = std::make_shared<SharedSelection>(std::make_unique<Selection>(goals));
  } catch (const Error& error) {
    throw ErrorValue(env, error);
  }
}

Napi::Value SelectionObject::Restore(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsTypedArray()) {
    throw ArgumentError(info.Env(), "expected the snapshot to be a Uint8Array");
  }
  return AddonData::Of(info.Env()).selection_class.New({info[0]});
}

Selection& SelectionObject::Idle(const Napi::CallbackInfo& info) {
  if (shared_->users > 0) throw ArgumentError(info.Env(), "the selection is in use by a running job");
  return *shared_->selection;
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
  const std::vector<uint8_t> bytes = Idle(info).Snapshot();
  return Napi::Buffer<uint8_t>::Copy(info.Env(), bytes.data(), bytes.size());
}

}  // namespace taskfold
