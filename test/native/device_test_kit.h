#pragma once
// What tests with emulated GPUs share. The plug-in looks for a driver: the fake one is loaded first.
#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "device/device_set.h"

inline std::string EmulatedPlugin() {
  CHECK(dlopen(TASKFOLD_EMULATED_FOLDER "/libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) != nullptr, "%s", dlerror());
  return TASKFOLD_EMULATED_FOLDER "/taskfold_cuda.so";
}

/// Sets environment variables of the emulator while it lives.
class Emulated {
 public:
  Emulated(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~Emulated() { unsetenv(name_); }
  Emulated(const Emulated&) = delete;

 private:
  const char* name_;
};

/// The first `count` emulated GPUs. Little chunks: one leaf of each operand.
inline std::shared_ptr<taskfold::DeviceSet> OpenGpus(int count, uint64_t memory = uint64_t{64} << 20,
                                                     uint64_t chunk_bytes = 1) {
  setenv("TASKFOLD_EMULATED_DEVICES", std::to_string(count).c_str(), 1);
  std::vector<int32_t> devices;
  for (int d = 0; d < count; d++) devices.push_back(d);
  auto set = taskfold::DeviceSet::Open(EmulatedPlugin(), devices, memory);
  set->SetChunkBytes(chunk_bytes);
  return set;
}

/// The error that `run` throws.
template <class F>
taskfold::Error ErrorOf(const F& run) {
  try {
    run();
  } catch (const taskfold::Error& error) {
    return error;
  }
  CHECK(false, "nothing was thrown");
  std::abort();
}
