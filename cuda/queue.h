#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "check.h"
#include "device_buffer.h"
#include "taskfold_cuda.h"

/// A stream, what its kernels' launches need to know of the device, and working memory that grows on demand.
struct tf_cuda_queue {
  int32_t device = 0;
  int32_t major = 0;
  int32_t multiprocessors = 1;
  cudaStream_t stream = nullptr;
  /// Used by one call at a time: its contents do not outlive the call that asked for it, in stream order.
  taskfold::cuda::DeviceBuffer workspace;
};

namespace taskfold::cuda {

/// At least `bytes` of the queue's workspace. Growing waits for the queue, so sizes are rounded up
/// generously.
int Workspace(tf_cuda_queue* queue, size_t bytes, void** memory, ErrorText error);

}  // namespace taskfold::cuda
