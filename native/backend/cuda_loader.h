#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace taskfold {

struct CudaDevice {
  int32_t index = 0;
  std::string name;
  std::string bus_id;
  uint64_t memory_bytes = 0;
  /// At the moment of asking; 0 when that was not asked.
  uint64_t free_bytes = 0;
  /// Compute capability, 9 and 0 for sm_90.
  int major = 0;
  int minor = 0;
  int multiprocessors = 0;
};

struct CudaStatus {
  bool available = false;
  /// One sentence; empty when available.
  std::string reason;
  /// CUDA versions, 1000 · major + 10 · minor; 0: not known.
  int driver_version = 0;
  int runtime_version = 0;
  std::vector<CudaDevice> devices;
};

/// Opens the CUDA plug-in and lists its devices; never throws for a missing driver, plug-in or device.
/// `start`: also starts each device, which shows what is wrong with it (and takes a second); a device that
/// does not start makes all unavailable, with its number in the reason. A driver can crash the process: see
/// lib/binding/probe-cuda.ts, which asks in a child process first.
CudaStatus ProbeCuda(const std::string& plugin_path, bool start);

}  // namespace taskfold
