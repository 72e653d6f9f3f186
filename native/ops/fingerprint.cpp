#define XXH_INLINE_ALL
#include "ops/fingerprint.h"

#include <xxhash.h>

#include "core/thread_pool.h"
#include "ops/device_regions.h"
#include "ops/scratch.h"
#include "ops/work_list.h"

namespace taskfold {

struct alignas(64) LeafHasher::State {
  XXH3_state_t xxh3;
};

namespace {

Digest CanonicalDigest(XXH128_hash_t hash) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  Digest digest;
  memcpy(digest.bytes, canonical.digest, sizeof digest.bytes);
  return digest;
}

}  // namespace

LeafHasher::LeafHasher() : state_(new State) { XXH3_128bits_reset(&state_->xxh3); }
LeafHasher::~LeafHasher() = default;
void LeafHasher::Add(const void* data, size_t length) { XXH3_128bits_update(&state_->xxh3, data, length); }
Digest LeafHasher::Finish() const { return CanonicalDigest(XXH3_128bits_digest(&state_->xxh3)); }

std::string CombineLeaves(const Digest* leaves, size_t count) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : CanonicalDigest(XXH3_128bits(leaves, count * sizeof(Digest))).bytes) {
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

namespace {

void DigestOnCpu(const std::vector<Region>& regions, const WorkList& list, Digest* leaves,
                 RunControl& control) {
  ScratchPerWorker scratch(control.threads());
  ParallelFor(list.items(), control.threads(), [&](size_t item, unsigned worker) {
    control.ThrowIfCancelled();
    const auto [which, leaf] = list.Find(item);
    const Region& region = regions[which];
    const uint64_t offset = leaf * kLeafBytes;
    const auto length = static_cast<size_t>(std::min<uint64_t>(kLeafBytes, region.length() - offset));
    const uint8_t* bytes = region.Read(offset, length, scratch[worker].Get(0, kLeafBytes));
    leaves[item] = CanonicalDigest(XXH3_128bits(bytes, length));
    control.AddProgress(length);
  });
}

}  // namespace

std::vector<std::string> FingerprintRegions(const std::vector<Region>& regions, RunControl& control) {
  control.ThrowIfCancelled();
  WorkList list;
  for (const Region& region : regions) list.Add(LeafCount(region.length()));
  std::vector<Digest> leaves(list.items());
  if (DeviceSet* devices = control.devices()) {
    DigestOnDevices(*devices, regions, list, leaves.data(), control);
  } else {
    DigestOnCpu(regions, list, leaves.data(), control);
  }
  std::vector<std::string> fingerprints;
  for (size_t i = 0; i < regions.size(); i++) {
    fingerprints.push_back(CombineLeaves(leaves.data() + list.First(i), list.Count(i)));
  }
  return fingerprints;
}

}  // namespace taskfold
