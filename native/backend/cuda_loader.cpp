#include "backend/cuda_loader.h"

#include <map>
#include <mutex>

#include "taskfold_cuda.h"

#if defined(__linux__)
#include <dlfcn.h>
#include <unistd.h>
#endif

namespace taskfold {
namespace {

CudaStatus Unavailable(std::string reason) {
  CudaStatus status;
  status.reason = std::move(reason);
  return status;
}

#if defined(__linux__)

template <typename Function>
bool Find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  return function != nullptr;
}

std::string LoaderError(const std::string& fallback) {
  const char* message = dlerror();
  return message != nullptr ? message : fallback;
}

CudaStatus Probe(const std::string& path) {
  if (path.empty()) return Unavailable("no CUDA plug-in is configured");
  // The driver first: without it the plug-in is never mapped.
  if (dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) == nullptr) {
    return Unavailable("no NVIDIA driver (libcuda.so.1 was not found)");
  }
  // A name without a slash would be searched for in the system's library folders.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  if (access(file.c_str(), R_OK) != 0) return Unavailable("CUDA plug-in not found: " + path);
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Unavailable("CUDA plug-in can't be loaded: " + LoaderError(path));

  decltype(&tf_cuda_abi) abi = nullptr;
  if (!Find(library, "tf_cuda_abi", abi)) return Unavailable("not a taskfold CUDA plug-in: " + path);
  if (abi() != TF_CUDA_ABI) {
    return Unavailable("CUDA plug-in " + path + " has interface version " + std::to_string(abi()) +
                       ", needed is " + std::to_string(TF_CUDA_ABI));
  }
  decltype(&tf_cuda_device_count) device_count = nullptr;
  decltype(&tf_cuda_device_info) device_info = nullptr;
  decltype(&tf_cuda_delta_scatter) delta_scatter = nullptr;
  if (!Find(library, "tf_cuda_device_count", device_count) ||
      !Find(library, "tf_cuda_device_info", device_info) ||
      !Find(library, "tf_cuda_delta_scatter", delta_scatter)) {
    return Unavailable("CUDA plug-in lacks a function: " + LoaderError(path));
  }

  char error[256] = {0};
  int32_t count = 0;
  if (device_count(&count, error, sizeof(error)) != TF_CUDA_OK)
    return Unavailable(std::string("CUDA: ") + error);
  if (count == 0) return Unavailable("no CUDA device");
  CudaStatus status;
  for (int32_t i = 0; i < count; ++i) {
    tf_cuda_device info;
    if (device_info(i, &info, error, sizeof(error)) != TF_CUDA_OK)
      return Unavailable(std::string("CUDA: ") + error);
    status.devices.push_back({info.name, info.memory_bytes, info.major, info.minor});
  }
  status.available = true;
  return status;
}

#else

CudaStatus Probe(const std::string&) { return Unavailable("CUDA is supported on Linux only"); }

#endif

}  // namespace

CudaStatus ProbeCuda(const std::string& plugin_path) {
  // Leaked on purpose: engine threads may still ask while static objects are being destroyed.
  static std::mutex& mutex = *new std::mutex;
  static auto& answers = *new std::map<std::string, CudaStatus>;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto known = answers.find(plugin_path);
  if (known != answers.end()) return known->second;
  return answers.emplace(plugin_path, Probe(plugin_path)).first->second;
}

}  // namespace taskfold
