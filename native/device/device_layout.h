#pragma once
#include <cstdint>

namespace taskfold {

/// What cudaMalloc aligns to, and every place inside an allocation here; kernels ask for 16.
constexpr uint64_t kDeviceAlignment = 256;

/// Bytes rounded up to whole multiples of kDeviceAlignment.
constexpr uint64_t AlignForDevice(uint64_t bytes) {
  return (bytes + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
}

/// Aligned places one after the other in one piece of device memory.
class DeviceLayout {
 public:
  /// Offset of the next `bytes`.
  uint64_t Take(uint64_t bytes) {
    const uint64_t start = bytes_;
    bytes_ += AlignForDevice(bytes);
    return start;
  }
  uint64_t bytes() const { return bytes_; }

 private:
  uint64_t bytes_ = 0;
};

}  // namespace taskfold
