#include "device/cuda_call.h"

namespace taskfold {

void ThrowCuda(int status, int32_t device, const char* doing, const char* error) {
  const std::string message = "cuda:" + std::to_string(device) + ": " + doing + ": " + error;
  switch (status) {
    case TF_CUDA_OUT_OF_MEMORY:
      throw Error("OUT_OF_MEMORY", message)
          .Hint("give --gpu-memory less, free memory of the GPU, or use --device cpu");
    case TF_CUDA_DEVICE_LOST:
      throw Error("DEVICE_UNAVAILABLE", message)
          .Hint(
              "the GPU can't be used until this process ends; look at nvidia-smi and dmesg, or use --device "
              "cpu");
    case TF_CUDA_NO_DRIVER:
      throw Error("DEVICE_UNAVAILABLE", message).Hint("update the NVIDIA driver, or use --device cpu");
    case TF_CUDA_INVALID:
      throw Error("INTERNAL", message);
    default:
      throw Error("DEVICE_UNAVAILABLE", message).Hint("use --device cpu");
  }
}

}  // namespace taskfold
