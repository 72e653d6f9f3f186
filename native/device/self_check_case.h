#pragma once
// Inside of the self-check: numbers of one dtype, on both sides, and what the CPU makes of them.
#include <string>
#include <vector>

#include "core/dtype.h"
#include "device/lane.h"

namespace taskfold {

/// An array on the host and, as it was when it was made, on the device.
template <class T>
struct CheckedArray {
  std::vector<T> host;
  DeviceMemory device;

  CheckedArray(Lane& lane, std::vector<T> values)
      : host(std::move(values)), device(lane.cuda(), lane.device(), host.size() * sizeof(T)) {
    lane.Upload(device.data(), host.data(), host.size() * sizeof(T));
  }
  /// Zeros.
  CheckedArray(Lane& lane, size_t size) : CheckedArray(lane, std::vector<T>(size)) {}
  T* on_device() const { return device.template As<T>(); }
};
using CheckedBytes = CheckedArray<uint8_t>;

/// One dtype's numbers: bytes of kElements items each.
struct CheckCase {
  static constexpr size_t kElements = 2 * 65536 + 1003;
  static constexpr size_t kBlocks = 3;
  static constexpr size_t kTasks = 2;

  CheckCase(Lane& lane, Dtype dtype);
  /// Compares what the lane has written to `device` with `expected`; DEVICE_UNAVAILABLE when bits differ.
  void Expect(const char* kernel, const void* device, const void* expected, size_t bytes);
  [[noreturn]] void Refuse(const char* kernel) const;
  size_t BlockSize(size_t block) const { return std::min<size_t>(65536, kElements - block * 65536); }

  Lane& lane;
  Dtype dtype;
  int32_t code;
  size_t item;
  CheckedBytes base;
  std::vector<CheckedBytes> tasks;
  CheckedBytes merged;  // host: as the CPU merges; device: as the device does
};

/// Merging and counting; fills case.merged.
void CheckMerge(CheckCase& check);
/// Ranking, placing, gathering, scattering and exchanging.
void CheckDelta(CheckCase& check);
void CheckConversions(CheckCase& check);
void CheckDigests(CheckCase& check);

}  // namespace taskfold
