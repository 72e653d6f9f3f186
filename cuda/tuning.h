#pragma once

#include <cstdint>

namespace taskfold::cuda {

/// Numbers to tune, in one place. None of them was measured on a GPU yet.
struct ScatterTuning {
  /// Threads of one CUDA block; each CUDA block patches one 65 536-element block of the tensor at a time.
  uint32_t threads = 256;
  /// CUDA blocks per multiprocessor; the rest of the tensor's blocks is taken in further rounds.
  uint32_t blocks_per_multiprocessor = 8;
};

/// `major` is the device's compute capability.
inline ScatterTuning TuneScatter(int32_t major) {
  ScatterTuning tuning;
  if (major >= 9) tuning.threads = 512;
  return tuning;
}

}  // namespace taskfold::cuda
