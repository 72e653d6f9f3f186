#pragma once
#include <napi.h>

#include <memory>
#include <string>

#include "addon/argument.h"
#include "addon/error_value.h"
#include "device/device_set.h"

// The classes that JavaScript holds: open files, cancel tokens, selections, opened GPUs. Every object carries
// a type tag, because a prototype can be forged in JavaScript and a wrong cast here would crash.

namespace taskfold {

/// The C++ object behind `value`; a TypeError that says what was expected for anything else.
template <class T>
T* CheckedUnwrap(Napi::Env env, Napi::Value value, const std::string& what, const char* expected) {
  bool tagged = false;
  if (!value.IsObject() || napi_check_object_type_tag(env, value, &T::kTag, &tagged) != napi_ok || !tagged) {
    throw ArgumentError(env, "expected " + what + " to be " + expected);
  }
  return T::Unwrap(value.As<Napi::Object>());
}

class FileObject : public Napi::ObjectWrap<FileObject> {
 public:
  static constexpr napi_type_tag kTag{0x7461736b666f6c64, 0x66696c6500000001};
  static void Define(Napi::Env env);
  explicit FileObject(const Napi::CallbackInfo& info);
  /// Null once closed.
  const std::shared_ptr<File>& file() const { return file_; }

 private:
  static Napi::Value Close(const Napi::CallbackInfo& info);
  std::shared_ptr<File> file_;
};

class CancelObject : public Napi::ObjectWrap<CancelObject> {
 public:
  static constexpr napi_type_tag kTag{0x7461736b666f6c64, 0x63616e63656c0001};
  static void Define(Napi::Env env);
  explicit CancelObject(const Napi::CallbackInfo& info);
  const std::shared_ptr<CancelFlag>& flag() const { return flag_; }

 private:
  static Napi::Value Cancel(const Napi::CallbackInfo& info);
  std::shared_ptr<CancelFlag> flag_;
};

class SelectionObject : public Napi::ObjectWrap<SelectionObject> {
 public:
  static constexpr napi_type_tag kTag{0x7461736b666f6c64, 0x73656c6563740001};
  static void Define(Napi::Env env);
  explicit SelectionObject(const Napi::CallbackInfo& info);
  const std::shared_ptr<SharedSelection>& shared() const { return shared_; }

 private:
  static Napi::Value Restore(const Napi::CallbackInfo& info);
  static Napi::Value Advance(const Napi::CallbackInfo& info);
  static Napi::Value Thresholds(const Napi::CallbackInfo& info);
  static Napi::Value Snapshot(const Napi::CallbackInfo& info);
  /// The selection of `this`; INVALID_ARGUMENT while a job counts into it.
  static Selection& Idle(const Napi::CallbackInfo& info);
  std::shared_ptr<SharedSelection> shared_;
};

/// GPUs that openDevices has opened.
class DeviceSetObject : public Napi::ObjectWrap<DeviceSetObject> {
 public:
  static constexpr napi_type_tag kTag{0x7461736b666f6c64, 0x6465766963650001};
  static void Define(Napi::Env env);
  static Napi::Value Make(Napi::Env env, std::shared_ptr<DeviceSet> set);
  /// Only by Make.
  explicit DeviceSetObject(const Napi::CallbackInfo& info);
  /// Null once closed.
  const std::shared_ptr<DeviceSet>& set() const { return set_; }

 private:
  static Napi::Value Close(const Napi::CallbackInfo& info);
  std::shared_ptr<DeviceSet> set_;
};

}  // namespace taskfold
