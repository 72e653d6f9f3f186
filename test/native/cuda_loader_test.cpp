// Asking for CUDA must be harmless everywhere: a clear reason instead of a crash, the same answer each time.
#include "backend/cuda_loader.h"

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

void Check(bool ok, const char* what, const taskfold::CudaStatus& status) {
  if (ok) return;
  std::fprintf(stderr, "FAILED: %s (available %d, reason \"%s\")\n", what, status.available,
               status.reason.c_str());
  std::exit(1);
}

}  // namespace

int main() {
  for (const char* path : {"", "no-such-plugin.so", "/no/such/folder/taskfold_cuda.so"}) {
    const taskfold::CudaStatus status = taskfold::ProbeCuda(path, false);
    Check(!status.available && status.devices.empty(), "a missing plug-in is not available", status);
    Check(!status.reason.empty(), "a reason is given", status);
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([] {
      const taskfold::CudaStatus status = taskfold::ProbeCuda("/no/such/folder/taskfold_cuda.so", false);
      Check(!status.available && !status.reason.empty(), "threads get the same answer", status);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::printf("cuda_loader: passed\n");
  return 0;
}
