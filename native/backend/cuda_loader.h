#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace taskfold {

struct CudaDevice {
  std::string name;
  uint64_t memory_bytes = 0;
  /// Compute capability, 9 and 0 for sm_90.
  int major = 0;
  int minor = 0;
};

struct CudaStatus {
  bool available = false;
  /// One sentence; empty when available.
  std::string reason;
  std::vector<CudaDevice> devices;
};

/// Opens the CUDA plug-in and lists its devices; never throws for a missing driver, plug-in or device. Each
/// path is tried once a process and the answer kept; what was opened stays open, because CUDA does not
/// survive being unloaded. Any thread may call it.
CudaStatus ProbeCuda(const std::string& plugin_path);

}  // namespace taskfold
