#pragma once
#include <napi.h>

#include <memory>

#include "addon/argument.h"

// The classes that JavaScript holds: open files, cancel tokens, selections.

namespace taskfold {

class FileObject : public Napi::ObjectWrap<FileObject> {
 public:
  static void Define(Napi::Env env);
  explicit FileObject(const Napi::CallbackInfo& info);
  /// Null once closed.
  const std::shared_ptr<File>& file() const { return file_; }

 private:
  Napi::Value GetSize(const Napi::CallbackInfo& info);
  Napi::Value GetPath(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
  std::shared_ptr<File> file_;
  std::string path_;
  uint64_t size_ = 0;
};

class CancelObject : public Napi::ObjectWrap<CancelObject> {
 public:
  static void Define(Napi::Env env);
  explicit CancelObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<CancelObject>(info), flag_(std::make_shared<CancelFlag>()) {}
  const std::shared_ptr<CancelFlag>& flag() const { return flag_; }

 private:
  void Cancel(const Napi::CallbackInfo&) { flag_->cancelled = true; }
  std::shared_ptr<CancelFlag> flag_;
};

class SelectionObject : public Napi::ObjectWrap<SelectionObject> {
 public:
  static void Define(Napi::Env env);
  explicit SelectionObject(const Napi::CallbackInfo& info);
  const std::shared_ptr<SharedSelection>& shared() const { return shared_; }

 private:
  static Napi::Value Restore(const Napi::CallbackInfo& info);
  Napi::Value Advance(const Napi::CallbackInfo& info);
  Napi::Value Thresholds(const Napi::CallbackInfo& info);
  Napi::Value Snapshot(const Napi::CallbackInfo& info);
  /// INVALID_ARGUMENT while a job counts into it.
  Selection& Idle(const Napi::CallbackInfo& info);
  std::shared_ptr<SharedSelection> shared_;
};

}  // namespace taskfold
