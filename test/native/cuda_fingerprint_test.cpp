// Digests: the scalar meaning (core/xxh3_leaf.h) and the emulated kernel, against xxhash.h.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/xxh3_leaf.h"
#include "cuda_kernel_test.h"

using namespace taskfold;

namespace {

using Canonical = std::array<uint8_t, 16>;

Canonical Expected(const uint8_t* bytes, size_t length) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, length));
  Canonical digest;
  std::memcpy(digest.data(), canonical.digest, digest.size());
  return digest;
}

std::vector<uint8_t> RandomBytes(size_t n, Random& random) {
  std::vector<uint8_t> bytes(n);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random.Next() >> 21);
  return bytes;
}

/// A copy of its own for every length, so that the sanitizer sees a byte too many.
void CheckScalar(const uint8_t* bytes, size_t length) {
  const std::vector<uint8_t> copy(bytes, bytes + length);
  Canonical digest;
  Xxh3Canonical(Xxh3(copy.data(), length), digest.data());
  CHECK(digest == Expected(copy.data(), length), "scalar digest of %zu bytes", length);
}

void CheckKernel(const CudaTest& test, const std::vector<uint8_t>& bytes) {
  const size_t leaves = (bytes.size() + TF_CUDA_LEAF - 1) / TF_CUDA_LEAF;
  const auto input = test.Upload(bytes);
  for (int order = 0; order < CudaTest::kOrders; order++) {
    CudaTest::Order(order);
    const auto digests = test.Allocate<uint8_t>(leaves * 16);
    test.Call(test.cuda.digest, tf_cuda_digest_job{input.data(), bytes.size(), digests.data()});
    const auto found = test.Download(digests);
    for (size_t leaf = 0; leaf < leaves; leaf++) {
      const size_t offset = leaf * TF_CUDA_LEAF;
      const size_t length = std::min<size_t>(TF_CUDA_LEAF, bytes.size() - offset);
      const Canonical expected = Expected(bytes.data() + offset, length);
      CHECK(std::equal(expected.begin(), expected.end(), found.begin() + static_cast<ptrdiff_t>(16 * leaf)),
            "leaf %zu of %zu bytes, order %d", leaf, bytes.size(), order);
    }
  }
  CHECK(test.Download(input) == bytes, "the input changed");
}

void CheckRefusals(const CudaTest& test) {
  const auto bytes = test.Upload(std::vector<uint8_t>(64, 1));
  const auto digests = test.Allocate<uint8_t>(16);
  test.Refused(test.cuda.digest, tf_cuda_digest_job{nullptr, 64, digests.data()});
  test.Refused(test.cuda.digest, tf_cuda_digest_job{bytes.data(), 64, nullptr});
  test.Refused(test.cuda.digest, tf_cuda_digest_job{bytes.data() + 1, 63, digests.data()});
  test.Call(test.cuda.digest, tf_cuda_digest_job{nullptr, 0, nullptr});
  CHECK(test.Download(digests) == std::vector<uint8_t>(16, DeviceArray<uint8_t>::kGuardByte),
        "a digest of nothing");
}

}  // namespace

int main() {
  Random random(7);
  const std::vector<uint8_t> bytes = RandomBytes(TF_CUDA_LEAF, random);
  for (size_t length = 1; length <= 3000; length++) CheckScalar(bytes.data(), length);
  for (int i = 0; i < 200; i++) CheckScalar(bytes.data(), 1 + random.Below(TF_CUDA_LEAF));
  CheckScalar(bytes.data(), TF_CUDA_LEAF);

  const CudaTest test;
  CheckRefusals(test);
  for (size_t length = 1; length <= 1300; length += length < 300 ? 1 : 7) {
    CheckKernel(test, RandomBytes(length, random));
  }
  // Around whole stripes and whole blocks of stripes, which is where the last stripe's rule shows.
  for (const size_t whole : {1024, 2048, 65536, TF_CUDA_LEAF}) {
    for (const int by : {-65, -64, -63, -1, 0}) {
      CheckKernel(test, RandomBytes(static_cast<size_t>(static_cast<int>(whole) + by), random));
    }
  }
  for (int i = 0; i < 20; i++) CheckKernel(test, RandomBytes(1 + random.Below(TF_CUDA_LEAF), random));
  // Several leaves, the last one of any kind; more leaves than one block takes, more than the grid.
  for (const size_t tail : {1, 16, 240, 241, 5000})
    CheckKernel(test, RandomBytes(TF_CUDA_LEAF + tail, random));
  CheckKernel(test, RandomBytes(9 * TF_CUDA_LEAF + 17, random));
  CheckKernel(test, RandomBytes(130 * TF_CUDA_LEAF + 300, random));
  std::puts("ok");
}
