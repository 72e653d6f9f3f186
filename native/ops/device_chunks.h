#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>

#include "core/region.h"
#include "core/thread_pool.h"
#include "device/device_layout.h"
#include "device/device_set.h"
#include "ops/fingerprint.h"

// How elementwise work is cut for the lanes of a device set. Results never depend on it.

namespace taskfold {

/// Elements of one leaf of a fingerprint: a whole number of a delta's blocks for every dtype, so chunks of
/// whole leaves suit both.
constexpr uint64_t LeafElements(Dtype dtype) { return kLeafBytes / ItemSize(dtype); }

/// Elements of a chunk: whole leaves of `dtype`, at most chunk_bytes() of them, with `bytes_per_element` of
/// device memory each, beside `fixed` bytes. 0: a lane cannot hold one leaf.
uint64_t ChunkElements(const DeviceSet& devices, Dtype dtype, uint64_t bytes_per_element, uint64_t fixed);

/// A run of elements of one tensor.
struct Chunk {
  uint64_t first;
  uint64_t count;
};
inline Chunk ChunkAt(uint64_t piece, uint64_t chunk_elements, uint64_t elements) {
  const uint64_t first = piece * chunk_elements;
  return {first, std::min(chunk_elements, elements - first)};
}
constexpr uint64_t ChunkCount(uint64_t elements, uint64_t chunk_elements) {
  return (elements + chunk_elements - 1) / chunk_elements;
}

/// work(item, worker) for every item, each worker driving its own lane; the lowest failure is reported.
inline void ForEachItem(const LaneLease& lanes, size_t items, RunControl& control,
                        const std::function<void(size_t item, unsigned worker)>& work) {
  ParallelFor(items, static_cast<unsigned>(lanes.size()), [&](size_t item, unsigned worker) {
    control.ThrowIfCancelled();
    work(item, worker);
  });
}

/// Elements of an operand into device memory in the storage dtype. `raw`: device memory for them in their own
/// dtype, when it is another.
void UploadElements(Lane& lane, const Operand& operand, Dtype storage, Chunk chunk, void* to, void* raw);

/// Device memory a converted operand needs an element: 0 when there is nothing to convert.
inline uint64_t RawBytes(const Operand& operand, Dtype storage) {
  return operand.dtype == storage ? 0 : ItemSize(operand.dtype);
}

/// Digests of the leaves of `length` bytes of device memory. `digests`: device memory, 16 bytes a leaf.
void DownloadDigests(Lane& lane, const void* bytes, uint64_t length, void* digests, Digest* to);

}  // namespace taskfold
