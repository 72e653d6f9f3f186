#include "addon/error_value.h"

namespace taskfold {

Napi::Error ErrorValue(Napi::Env env, const Error& error) {
  Napi::Error value = Napi::Error::New(env, error.what());
  Napi::Object object = value.Value();
  const auto set = [&](const char* name, const std::string& text) {
    if (!text.empty()) object.Set(name, text);
  };
  set("code", error.code());
  set("tensor", error.tensor());
  set("file", error.file());
  set("operand", error.operand());
  set("hint", error.hint());
  if (error.index() >= 0) object.Set("index", static_cast<double>(error.index()));
  return value;
}

Napi::Error ArgumentError(Napi::Env env, const std::string& message) {
  Napi::TypeError value = Napi::TypeError::New(env, message);
  value.Value().Set("code", "INVALID_ARGUMENT");
  return value;
}

}  // namespace taskfold
