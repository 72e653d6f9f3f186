#pragma once

#include "block.h"
#include "core/xxh3_leaf.h"
#include "taskfold_cuda_kernels.h"
#include "tuning.h"

namespace taskfold::cuda {

/// The digest of every leaf. Eight threads share a leaf, one lane of XXH3's accumulator each: they read it in
/// rows of 64 bytes. Two lanes need each other's word, so each of them reads both, as 16 bytes.
struct DigestBody {
  static constexpr Tuning kTuning = kDigestTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  static constexpr uint32_t kLeaves = kThreads / kXxh3Lanes;
  /// Stripes whose words are asked for before the first of them is used: what hides the memory's latency.
  static constexpr uint32_t kAhead = 8;
  static_assert(kXxh3BlockStripes % kAhead == 0 && kThreads >= kXxh3SecretWords);
  struct Shared {
    uint64_t secret[kXxh3SecretWords];
    uint64_t acc[kLeaves][kXxh3Lanes];
  };
  using Words = Vec16<uint64_t>;

  const uint8_t* bytes;
  uint64_t length;
  uint64_t leaves;
  uint8_t* digests;

  TF_KERNEL uint64_t LeafLength(uint64_t leaf) const {
    const uint64_t left = length - leaf * TF_CUDA_LEAF;
    return left < TF_CUDA_LEAF ? left : TF_CUDA_LEAF;
  }

  /// Adds kAhead stripes, the first of which uses the secret from its first word on.
  TF_KERNEL static uint64_t AddStripes(uint64_t acc, const uint8_t* stripe, const uint64_t* secret,
                                       uint32_t lane) {
    Words words[kAhead];
    for (uint32_t s = 0; s < kAhead; s++) {
      words[s] = reinterpret_cast<const Words*>(stripe + s * kXxh3StripeBytes)[lane / 2];
    }
    for (uint32_t s = 0; s < kAhead; s++) {
      const bool odd = lane % 2 != 0;
      acc = xxh3::AddStripe(acc, odd ? words[s].item[1] : words[s].item[0],
                            odd ? words[s].item[0] : words[s].item[1], secret[s + lane]);
    }
    return acc;
  }

  /// Xxh3Lane, with words of 16 bytes.
  TF_KERNEL static uint64_t Lane(const uint8_t* leaf, uint64_t length, uint32_t lane,
                                 const uint64_t* secret) {
    uint64_t acc = xxh3::LaneStart(lane);
    const uint64_t stripes = xxh3::FullStripes(length);
    uint64_t next = 0;
    for (; next + kAhead <= stripes; next += kAhead) {
      const auto place = static_cast<uint32_t>(next % kXxh3BlockStripes);
      acc = AddStripes(acc, leaf + next * kXxh3StripeBytes, secret + place, lane);
      if (place + kAhead == kXxh3BlockStripes) acc = xxh3::Scramble(acc, secret[kXxh3BlockStripes + lane]);
    }
    // Fewer than kAhead are left, so none of them ends a block.
    for (; next < stripes; next++) {
      const uint8_t* stripe = leaf + next * kXxh3StripeBytes;
      acc = xxh3::AddStripe(acc, xxh3::Word(stripe + 8 * lane), xxh3::Word(stripe + 8 * (lane ^ 1)),
                            secret[next % kXxh3BlockStripes + lane]);
    }
    return xxh3::AddLastStripe(acc, leaf, length, lane);
  }

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    Shared& shared = block.template shared<Shared>();
    block.ForEach([&](uint32_t thread) {
      if (thread < kXxh3SecretWords) shared.secret[thread] = xxh3::SecretWord(thread);
    });
    const uint64_t stride = static_cast<uint64_t>(block.blocks()) * kLeaves;
    for (uint64_t first = static_cast<uint64_t>(block.index()) * kLeaves; first < leaves; first += stride) {
      block.ForEach([&](uint32_t thread) {
        const uint64_t leaf = first + thread / kXxh3Lanes;
        const uint32_t lane = thread % kXxh3Lanes;
        if (leaf >= leaves || LeafLength(leaf) <= kXxh3ShortBytes) return;
        shared.acc[thread / kXxh3Lanes][lane] =
            Lane(bytes + leaf * TF_CUDA_LEAF, LeafLength(leaf), lane, shared.secret);
      });
      block.ForEach([&](uint32_t thread) {
        const uint64_t leaf = first + thread;
        if (thread >= kLeaves || leaf >= leaves) return;
        const uint64_t size = LeafLength(leaf);
        const Xxh3Hash hash = size <= kXxh3ShortBytes ? Xxh3Short(bytes + leaf * TF_CUDA_LEAF, size)
                                                      : Xxh3Merge(shared.acc[thread], size);
        Xxh3Canonical(hash, digests + 16 * leaf);
      });
    }
  }
};

}  // namespace taskfold::cuda
