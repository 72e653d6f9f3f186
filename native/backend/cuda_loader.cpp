#include "backend/cuda_loader.h"

#include "backend/cuda_library.h"

namespace taskfold {
namespace {

CudaStatus Unavailable(CudaStatus status, std::string reason) {
  status.available = false;
  status.reason = std::move(reason);
  status.devices.clear();
  return status;
}

}  // namespace

CudaStatus ProbeCuda(const std::string& plugin_path, bool start) {
  CudaStatus status;
  std::string reason;
  const CudaLibrary* cuda = OpenCudaLibrary(plugin_path, &reason);
  if (cuda == nullptr) return Unavailable(std::move(status), std::move(reason));
  char error[512] = {0};
  tf_cuda_versions versions{};
  if (cuda->get_versions(&versions, error, sizeof error) == TF_CUDA_OK) {
    status.driver_version = versions.driver;
    status.runtime_version = versions.runtime;
  }
  int32_t count = 0;
  if (cuda->device_count(&count, error, sizeof error) != TF_CUDA_OK)
    return Unavailable(std::move(status), error);
  if (count == 0) return Unavailable(std::move(status), "no CUDA device");
  for (int32_t i = 0; i < count; ++i) {
    const std::string prefix = "CUDA device " + std::to_string(i) + ": ";
    tf_cuda_device info{};
    if (cuda->device_info(i, &info, error, sizeof error) != TF_CUDA_OK)
      return Unavailable(std::move(status), prefix + error);
    uint64_t free_bytes = 0, total_bytes = 0;
    if (start && cuda->device_memory(i, &free_bytes, &total_bytes, error, sizeof error) != TF_CUDA_OK)
      return Unavailable(std::move(status), prefix + error);
    status.devices.push_back({i, info.name, info.bus_id, info.memory_bytes, free_bytes, info.major,
                              info.minor, info.multiprocessors});
  }
  status.available = true;
  return status;
}

}  // namespace taskfold
