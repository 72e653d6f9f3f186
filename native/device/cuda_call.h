#pragma once
#include <string>
#include <utility>

#include "backend/cuda_library.h"
#include "core/error.h"

namespace taskfold {

/// Throws what a status other than TF_CUDA_OK means: OUT_OF_MEMORY, DEVICE_UNAVAILABLE, or INTERNAL for an
/// argument that the plug-in refused. `device`: which one.
[[noreturn]] void ThrowCuda(int status, int32_t device, const char* doing, const char* error);

/// Calls a function of the plug-in, whose last two parameters are where its message goes.
template <class Function, class... Arguments>
void CudaCall(int32_t device, const char* doing, Function function, Arguments&&... arguments) {
  char error[512] = {0};
  const int status = function(std::forward<Arguments>(arguments)..., error, sizeof error);
  if (status != TF_CUDA_OK) ThrowCuda(status, device, doing, error);
}

}  // namespace taskfold
