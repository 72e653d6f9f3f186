#pragma once
#include <napi.h>

#include <string>

#include "core/error.h"

namespace taskfold {

/// The engine's error as a JavaScript Error with code, tensor, file, operand, index and hint where known.
Napi::Error ErrorValue(Napi::Env env, const Error& error);

/// A TypeError with code INVALID_ARGUMENT.
Napi::Error ArgumentError(Napi::Env env, const std::string& message);

}  // namespace taskfold
