#include "backend/cuda_library.h"

#include <map>
#include <mutex>
#include <utility>

#if defined(__linux__)
#include <dlfcn.h>
#include <unistd.h>
#endif

namespace taskfold {
namespace {

struct Opened {
  std::unique_ptr<CudaLibrary> library;
  std::string reason;
};

Opened Unavailable(std::string reason) { return {nullptr, std::move(reason)}; }

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

Opened Open(const std::string& path) {
  if (path.empty()) return Unavailable("no CUDA plug-in is configured");
  // The driver first: without it the plug-in is never mapped.
  if (std::string reason; !CudaDriverPresent(&reason)) return Unavailable(std::move(reason));
  // A name without a slash would be searched for in the system's library folders.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  if (access(file.c_str(), R_OK) != 0) return Unavailable("CUDA plug-in not found: " + path);
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return Unavailable("CUDA plug-in can't be loaded: " + LoaderError(path));

  auto library = std::make_unique<CudaLibrary>();
  if (!Find(handle, "tf_cuda_abi", library->abi)) return Unavailable("not a taskfold CUDA plug-in: " + path);
  if (library->abi() != TF_CUDA_ABI) {
    return Unavailable("CUDA plug-in " + path + " has interface version " + std::to_string(library->abi()) +
                       ", needed is " + std::to_string(TF_CUDA_ABI));
  }
#define TF_CUDA_FIND(name)                                                     \
  if (!Find(handle, "tf_cuda_" #name, library->name)) {                        \
    return Unavailable("CUDA plug-in lacks a function: " + LoaderError(path)); \
  }
  TF_CUDA_BASE_FUNCTIONS(TF_CUDA_FIND)
  TF_CUDA_KERNEL_FUNCTIONS(TF_CUDA_FIND)
  TF_CUDA_LINALG_FUNCTIONS(TF_CUDA_FIND)
#undef TF_CUDA_FIND
  return {std::move(library), ""};
}

#else

Opened Open(const std::string&) { return Unavailable("CUDA is supported on Linux only"); }

#endif

}  // namespace

bool CudaDriverPresent(std::string* reason) {
#if defined(__linux__)
  if (dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL) != nullptr) return true;
  const std::string said = LoaderError("");
  const bool absent = said.find("No such file") != std::string::npos || said.empty();
  if (reason != nullptr) {
    *reason = absent ? "no NVIDIA driver (libcuda.so.1 was not found)"
                     : "the NVIDIA driver can't be loaded: " + said;
  }
#else
  if (reason != nullptr) *reason = "CUDA is supported on Linux only";
#endif
  return false;
}

const CudaLibrary* OpenCudaLibrary(const std::string& path, std::string* reason) {
  // Leaked on purpose: engine threads may still ask while static objects are being destroyed.
  static std::mutex& mutex = *new std::mutex;
  static auto& answers = *new std::map<std::string, Opened>;
  const std::lock_guard<std::mutex> lock(mutex);
  auto known = answers.find(path);
  if (known == answers.end()) known = answers.emplace(path, Open(path)).first;
  if (reason != nullptr) *reason = known->second.reason;
  return known->second.library.get();
}

}  // namespace taskfold
