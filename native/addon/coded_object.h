#pragma once
#include <napi.h>

#include <memory>

#include "addon/argument.h"
#include "ops/coded_task.h"

namespace taskfold {

/// An open stream that JavaScript holds. Jobs that use it hold the task itself.
class CodedTaskObject : public Napi::ObjectWrap<CodedTaskObject> {
 public:
  static constexpr napi_type_tag kTag{0x7461736b666f6c64, 0x636f646564000001};
  /// The class of this environment, made on first use.
  static Napi::Function Class(Napi::Env env);
  static Napi::Value Make(Napi::Env env, std::shared_ptr<const CodedTask> task);
  /// Only by Make.
  explicit CodedTaskObject(const Napi::CallbackInfo& info);
  /// Null once closed.
  const std::shared_ptr<const CodedTask>& task() const { return task_; }

 private:
  static Napi::Value Close(const Napi::CallbackInfo& info);
  std::shared_ptr<const CodedTask> task_;
};

/// name, rows, columns and dtype of a coded tensor.
CodedTensor ReadCodedTensor(Napi::Object object);
/// The `tensors` of a stream.
std::vector<CodedTensor> ReadCodedTensors(Napi::Object job);
/// An f32 above 0.
float ReadStep(Napi::Object object, const char* key);

}  // namespace taskfold
