#include "ops/device_regions.h"

#include <atomic>

#include "ops/device_chunks.h"

namespace taskfold {

uint64_t ConvertOnDevices(DeviceSet& devices, uint64_t elements, const Operand& from, const Operand& to,
                          RunControl& control) {
  const uint64_t from_item = ItemSize(from.dtype), to_item = ItemSize(to.dtype);
  const uint64_t chunk_elements = ChunkElements(devices, to.dtype, from_item + to_item, 0);
  const uint64_t longest = std::min(chunk_elements, elements);
  DeviceLayout layout;
  layout.Take(sizeof(uint64_t));  // the counter
  const uint64_t source = layout.Take(longest * from_item);
  const uint64_t target = layout.Take(longest * to_item);
  std::atomic<uint64_t> inexact{0};
  const LaneLease lanes = devices.Lease(control);
  ForEachItem(lanes, ChunkCount(elements, chunk_elements), control, [&](size_t piece, unsigned worker) {
    const Chunk chunk = ChunkAt(piece, chunk_elements, elements);
    Lane& lane = lanes[worker];
    auto* memory = lane.Array<uint8_t>(0, layout.bytes());
    lane.Fill(memory, 0, sizeof(uint64_t));
    lane.Upload(memory + source, from.region, chunk.first * from_item, chunk.count * from_item);
    tf_cuda_convert_job job{};
    job.from_dtype = static_cast<int32_t>(from.dtype);
    job.to_dtype = static_cast<int32_t>(to.dtype);
    job.elements = chunk.count;
    job.from = memory + source;
    job.to = memory + target;
    job.inexact = reinterpret_cast<uint64_t*>(memory);
    lane.Launch("converting", lane.cuda().convert, job);
    uint64_t changed = 0;
    lane.Download(&changed, memory, sizeof changed);
    inexact += changed;
    lane.Download(to.region, chunk.first * to_item, memory + target, chunk.count * to_item);
    control.AddProgress(chunk.count * from_item);
  });
  return inexact;
}

void DigestOnDevices(DeviceSet& devices, const std::vector<Region>& regions, const WorkList& list,
                     Digest* leaves, RunControl& control) {
  // Bytes are cut like elements of the narrowest dtype.
  const uint64_t chunk_bytes = ChunkElements(devices, Dtype::kF8E4M3, 1, 0);
  WorkList chunks;
  for (const Region& region : regions) chunks.Add(ChunkCount(region.length(), chunk_bytes));
  const uint64_t digest_bytes = LeafCount(chunk_bytes) * sizeof(Digest);
  const LaneLease lanes = devices.Lease(control);
  ForEachItem(lanes, chunks.items(), control, [&](size_t item, unsigned worker) {
    const auto [which, piece] = chunks.Find(item);
    const Chunk chunk = ChunkAt(piece, chunk_bytes, regions[which].length());
    Lane& lane = lanes[worker];
    auto* digests = lane.Array<uint8_t>(0, digest_bytes);
    void* bytes = lane.Get(1, chunk_bytes);
    lane.Upload(bytes, regions[which], chunk.first, chunk.count);
    DownloadDigests(lane, bytes, chunk.count, digests,
                    leaves + list.First(which) + static_cast<size_t>(chunk.first / kLeafBytes));
    control.AddProgress(chunk.count);
  });
}

}  // namespace taskfold
