#pragma once
#include <memory>
#include <string>

// The plug-in's C interface; the rest of the native code sees it through this header only.
#include "taskfold_cuda.h"
#include "taskfold_cuda_kernels.h"
#include "taskfold_cuda_linalg.h"

namespace taskfold {

/// The functions of an opened CUDA plug-in, each named as in its headers without the prefix tf_cuda_.
struct CudaLibrary {
#define TF_CUDA_MEMBER(name) decltype(&tf_cuda_##name) name = nullptr;
  TF_CUDA_BASE_FUNCTIONS(TF_CUDA_MEMBER)
  TF_CUDA_KERNEL_FUNCTIONS(TF_CUDA_MEMBER)
  TF_CUDA_LINALG_FUNCTIONS(TF_CUDA_MEMBER)
#undef TF_CUDA_MEMBER
};

/// Opens the plug-in at a path; null, with one sentence in *reason, when that is impossible. Each path is
/// tried once a process and the answer kept; what was opened stays open, because CUDA does not survive being
/// unloaded. Any thread may call it. Starts no device.
const CudaLibrary* OpenCudaLibrary(const std::string& path, std::string* reason);

/// Is there a driver to try? Loads libcuda.so.1 but calls nothing of it. False: one sentence in *reason.
bool CudaDriverPresent(std::string* reason = nullptr);

}  // namespace taskfold
