#include "ops/device_chunks.h"

namespace taskfold {

uint64_t ChunkElements(const DeviceSet& devices, Dtype dtype, uint64_t bytes_per_element, uint64_t fixed) {
  // Slots are rounded up, and small results lie beside the operands.
  constexpr uint64_t kSlack = uint64_t{1} << 20;
  const uint64_t lane = devices.lane_bytes();
  if (lane < fixed + kSlack) return 0;
  const uint64_t leaf = LeafElements(dtype);
  const uint64_t fit = (lane - fixed - kSlack) / std::max<uint64_t>(bytes_per_element, 1) / leaf;
  const uint64_t wanted = std::max<uint64_t>(devices.chunk_bytes() / kLeafBytes, 1);
  return std::min(fit, wanted) * leaf;
}

void UploadElements(Lane& lane, const Operand& operand, Dtype storage, Chunk chunk, void* to, void* raw) {
  const size_t item = ItemSize(operand.dtype);
  void* target = operand.dtype == storage ? to : raw;
  lane.Upload(target, operand.region, chunk.first * item, chunk.count * item);
  if (operand.dtype == storage) return;
  tf_cuda_convert_job job{};
  job.from_dtype = static_cast<int32_t>(operand.dtype);
  job.to_dtype = static_cast<int32_t>(storage);
  job.elements = chunk.count;
  job.from = raw;
  job.to = to;
  lane.Launch("converting", lane.cuda().convert, job);
}

void DownloadDigests(Lane& lane, const void* bytes, uint64_t length, void* digests, Digest* to) {
  tf_cuda_digest_job job{};
  job.bytes = bytes;
  job.length = length;
  job.digests = static_cast<uint8_t*>(digests);
  lane.Launch("fingerprinting", lane.cuda().digest, job);
  lane.Download(to, digests, LeafCount(length) * sizeof(Digest));
}

}  // namespace taskfold
