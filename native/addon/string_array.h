#pragma once
#include <napi.h>

#include <string>
#include <vector>

namespace taskfold {

inline Napi::Array StringArray(Napi::Env env, const std::vector<std::string>& strings) {
  const Napi::Array array = Napi::Array::New(env, strings.size());
  for (size_t i = 0; i < strings.size(); i++) array.Set(static_cast<uint32_t>(i), strings[i]);
  return array;
}

}  // namespace taskfold
