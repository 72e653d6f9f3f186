#pragma once
#include <napi.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "addon/error_value.h"

namespace taskfold {

/// An object of the engine that JavaScript holds and that one job at a time may use.
template <class T>
struct Exclusive {
  template <class... Arguments>
  explicit Exclusive(Arguments&&... arguments) : value(std::forward<Arguments>(arguments)...) {}
  T value;
  std::atomic<bool> busy{false};
};

/// Marks it as used while a job runs (or a synchronous method).
template <class T>
class ExclusiveUse {
 public:
  /// A TypeError when another job uses it.
  ExclusiveUse(Napi::Env env, std::shared_ptr<Exclusive<T>> shared, const char* what)
      : shared_(std::move(shared)) {
    if (!shared_->busy.exchange(true)) return;
    shared_.reset();
    throw ArgumentError(env, std::string("the ") + what + " is in use by a running job");
  }
  ~ExclusiveUse() {
    if (shared_) shared_->busy = false;
  }
  ExclusiveUse(const ExclusiveUse&) = delete;
  T& operator*() const { return shared_->value; }
  T* operator->() const { return &shared_->value; }

 private:
  std::shared_ptr<Exclusive<T>> shared_;
};

/// Adds a method to a class's prototype.
inline void SetMethod(Napi::Function type, const char* name,
                      Napi::Value (*callback)(const Napi::CallbackInfo&)) {
  type.Get("prototype").As<Napi::Object>().Set(name, Napi::Function::New(type.Env(), callback, name));
}

}  // namespace taskfold
