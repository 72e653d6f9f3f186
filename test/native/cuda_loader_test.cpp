// Asking for CUDA must be harmless everywhere: a clear reason instead of a crash, the same answer each time.
#include "backend/cuda_loader.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "backend/cuda_library.h"
#include "check.h"

namespace {

using taskfold::CudaStatus;
using taskfold::ProbeCuda;

const std::string kFolder = TASKFOLD_EMULATED_FOLDER;
const std::string kPlugin = kFolder + "/taskfold_cuda.so";

void ExpectReason(const std::string& path, const std::string& part) {
  const CudaStatus status = ProbeCuda(path, true);
  CHECK(!status.available && status.devices.empty(), "%s is available", path.c_str());
  CHECK(status.reason.find(part) != std::string::npos, "%s: \"%s\" lacks \"%s\"", path.c_str(),
        status.reason.c_str(), part.c_str());
  CHECK(status.reason.find('\n') == std::string::npos, "more than one line: %s", status.reason.c_str());
}

void ExpectFault(const char* fault, const std::string& part) {
  setenv("TASKFOLD_EMULATED_ERROR", fault, 1);
  ExpectReason(kPlugin, part);
  unsetenv("TASKFOLD_EMULATED_ERROR");
}

/// Before a driver was loaded: only where there really is none.
void TestNoDriver() {
  std::string reason;
  if (taskfold::CudaDriverPresent(&reason)) return;
  CHECK(reason == "no NVIDIA driver (libcuda.so.1 was not found)", "%s", reason.c_str());
  // Its own name for the same file: the answer for a path is kept.
  ExpectReason(kFolder + "/./taskfold_cuda.so", "no NVIDIA driver");
}

void TestFiles() {
  ExpectReason("", "no CUDA plug-in is configured");
  ExpectReason("no-such-plugin.so", "CUDA plug-in not found: no-such-plugin.so");
  ExpectReason("/no/such/folder/taskfold_cuda.so", "CUDA plug-in not found: /no/such/folder");

  const std::string text = kFolder + "/not-a-library.so";
  std::FILE* file = std::fopen(text.c_str(), "w");
  CHECK(file != nullptr, "could not write %s", text.c_str());
  std::fputs("this is no library, and longer than the header of one would be: 0123456789abcdef\n", file);
  std::fclose(file);
  ExpectReason(text, "CUDA plug-in can't be loaded: " + text);

  ExpectReason(kFolder + "/libcuda.so.1", "not a taskfold CUDA plug-in: " + kFolder);
  ExpectReason(kFolder + "/taskfold_cuda_other_version.so", "has interface version " +
                                                                std::to_string(TF_CUDA_ABI + 1) +
                                                                ", needed is " + std::to_string(TF_CUDA_ABI));
  ExpectReason(kFolder + "/taskfold_cuda_too_small.so", "CUDA plug-in lacks a function");
}

void TestThreads() {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([i] {
      ExpectReason("/no/such/folder/taskfold_cuda.so", "not found");
      const CudaStatus status = ProbeCuda(kPlugin, i % 2 == 0);
      CHECK(status.available && status.reason.empty(), "%s", status.reason.c_str());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void TestDevices() {
  setenv("TASKFOLD_EMULATED_DEVICES", "3", 1);
  const CudaStatus status = ProbeCuda(kPlugin, true);
  CHECK(status.available && status.reason.empty(), "%s", status.reason.c_str());
  CHECK(status.devices.size() == 3, "%zu devices", status.devices.size());
  CHECK(status.driver_version == 13000 && status.runtime_version == 13000, "versions %d, %d",
        status.driver_version, status.runtime_version);
  const taskfold::CudaDevice& last = status.devices[2];
  CHECK(last.index == 2 && last.major == 9 && last.minor == 0 && last.multiprocessors > 0, "device 2");
  CHECK(last.bus_id == "0000:02:00.0" && !last.name.empty(), "%s", last.bus_id.c_str());
  CHECK(last.free_bytes > 0 && last.free_bytes <= last.memory_bytes, "memory");
  CHECK(ProbeCuda(kPlugin, false).devices[0].free_bytes == 0, "devices were started though not asked to");
  setenv("TASKFOLD_EMULATED_DEVICES", "0", 1);
  ExpectReason(kPlugin, "no CUDA device");
  unsetenv("TASKFOLD_EMULATED_DEVICES");
}

void TestFaults() {
  ExpectFault("35", "cudaGetDeviceCount: CUDA driver version is insufficient");
  ExpectFault("304", "OS call failed");
  ExpectFault("803", "unsupported display driver");
  ExpectFault("cudaGetDeviceProperties=719", "CUDA device 0: cudaGetDeviceProperties");
  ExpectFault("cudaSetDevice=46", "CUDA device 0: cudaSetDevice");
  ExpectFault("cudaMemGetInfo=2", "out of memory");
  // A fault is not remembered: what comes back is usable again.
  CHECK(ProbeCuda(kPlugin, true).available, "a fault stayed");
}

}  // namespace

int main() {
  TestNoDriver();
  // From here on libcuda.so.1 is found, because one with that name is loaded already.
  CHECK(dlopen((kFolder + "/libcuda.so.1").c_str(), RTLD_LAZY | RTLD_LOCAL) != nullptr, "%s", dlerror());
  TestFiles();
  TestThreads();
  TestDevices();
  TestFaults();
  std::printf("cuda_loader: passed\n");
  return 0;
}
