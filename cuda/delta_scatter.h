#pragma once
// Writing a stored delta into a dense tensor, block by block of 65 536 elements: either storing the values or
// exchanging them with what is there.
//
// Nothing of a delta is trusted: entries that cannot be true are left out and counted.
#include "bits.h"
#include "block.h"
#include "core/block_scatter.h"
#include "taskfold_cuda_kernels.h"
#include "tuning.h"

namespace taskfold::cuda {

inline constexpr uint32_t kScatterThreads = kScatterTuning.threads;
/// Bits of a bitmap that are decoded at a time, 32 a thread.
inline constexpr uint32_t kScatterTile = kScatterThreads * 32;
static_assert(kBlockElements % kScatterTile == 0);

/// Positions inside the block of a decoded piece of a bitmap.
struct ScatterShared {
  uint16_t positions[kScatterTile];
};

TF_KERNEL inline BlockEntries EntriesOf(const tf_cuda_delta& delta, uint64_t elements, uint64_t b) {
  if (delta.start_bytes == 4) {
    return EntriesOfBlock(static_cast<const uint32_t*>(delta.starts), delta.kept, elements, b);
  }
  return EntriesOfBlock(static_cast<const uint64_t*>(delta.starts), delta.kept, elements, b);
}

/// Bits 32·w … 32·w + 31 of a bitmap of `elements` bits, whose array may end with its last byte.
TF_KERNEL inline uint32_t BitmapWord(const void* bitmap, uint64_t elements, uint64_t w) {
  const uint64_t bytes = elements / 8 + (elements % 8 != 0 ? 1 : 0);
  const uint64_t first = w * 4;
  if (first + 4 <= bytes) return static_cast<const uint32_t*>(bitmap)[w];
  uint32_t word = 0;
  for (uint64_t i = first; i < bytes; i++) {
    word |= static_cast<uint32_t>(static_cast<const uint8_t*>(bitmap)[i]) << (8 * (i - first));
  }
  return word;
}

/// Moves entries thread, thread + kScatterThreads, … into a block; gives the number of those behind its end.
/// Several at a time, loads before stores, so that a thread waits once for all of them. Neighbouring threads
/// take neighbouring entries; a block's entries begin anywhere in the arrays, so there is nothing to load 16
/// bytes at a time.
template <class Item, bool kExchange>
TF_KERNEL uint32_t MoveEntries(uint32_t thread, Item* dense, uint32_t elements, const uint16_t* positions,
                               Item* values, uint32_t count) {
  constexpr uint32_t kAtOnce = sizeof(Item) == 8 ? 2 : 4;
  constexpr uint32_t kNowhere = 65536;
  uint32_t refused = 0;
  // Unrolled once more, it would take twice the registers.
#ifdef __CUDACC__
#pragma unroll 1
#endif
  for (uint32_t first = thread; first < count; first += kAtOnce * kScatterThreads) {
    const uint32_t left = count - first;
    const uint16_t* const from = positions + first;
    Item* const item = values + first;
    uint32_t position[kAtOnce];
    Item value[kAtOnce] = {};
    for (uint32_t k = 0; k < kAtOnce; k++) {
      position[k] = kNowhere;
      if (k * kScatterThreads >= left) continue;
      position[k] = from[k * kScatterThreads];
      value[k] = item[k * kScatterThreads];
      if (position[k] >= elements) {
        position[k] = kNowhere;
        refused++;
      }
    }
    Item found[kAtOnce] = {};
    if constexpr (kExchange) {
      for (uint32_t k = 0; k < kAtOnce; k++) {
        if (position[k] != kNowhere) found[k] = dense[position[k]];
      }
    }
    for (uint32_t k = 0; k < kAtOnce; k++) {
      if (position[k] == kNowhere) continue;
      dense[position[k]] = value[k];
      if constexpr (kExchange) item[k * kScatterThreads] = found[k];
    }
  }
  return refused;
}

/// A tensor that deltas are moved into: stored there, or exchanged with what is there.
template <class Item, bool kExchange>
struct PatchedTensor {
  Item* dense;  // in/out [elements]
  uint64_t elements;
  uint64_t* refused;  // in/out [1]

  /// The bits 32·w … of a bitmap that are inside the tensor; others that are set are refused.
  template <class Block>
  TF_KERNEL uint32_t InsideBits(Block& block, const void* bitmap, uint64_t w) const {
    const uint32_t word = BitmapWord(bitmap, elements, w);
    const uint64_t first = w * 32;
    if (first + 32 <= elements) return word;
    const uint32_t inside = first < elements ? (uint32_t{1} << (elements - first)) - 1 : 0;
    const uint32_t spare = CountBits(word & ~inside);
    if (spare != 0) block.AtomicAdd(refused, uint64_t{spare});
    return word & inside;
  }

  /// Writes the positions of kScatterTile bits, from element `origin` of block b on, to shared memory, or
  /// each thread would read a run of values of its own, far from its neighbours'. Returns how many.
  template <class Block>
  TF_KERNEL uint32_t Decode(Block& block, const void* bitmap, uint64_t b, uint32_t origin) const {
    ScatterShared& stage = block.template shared<ScatterShared>();
    typename Block::template PerThread<uint32_t> words(block);
    typename Block::template PerThread<uint32_t> ranks(block);
    block.ForEach([&](uint32_t thread) {
      words[thread] = InsideBits(block, bitmap, (b * kBlockElements + origin) / 32 + thread);
      ranks[thread] = CountBits(words[thread]);
    });
    const uint32_t sum = block.ExclusiveSum(ranks);
    block.ForEach([&](uint32_t thread) {
      uint32_t slot = ranks[thread];
      for (uint32_t word = words[thread]; word != 0; word &= word - 1) {
        stage.positions[slot++] = static_cast<uint16_t>(origin + thread * 32 + LowestBit(word));
      }
    });
    return sum;
  }

  /// Block b takes its entries of a delta: of u16 codes all at once, of a bitmap tile by tile.
  template <class Block>
  TF_KERNEL void Apply(Block& block, uint64_t b, const tf_cuda_delta& delta) const {
    if (delta.kept == 0) return;
    const BlockEntries entries = EntriesOf(delta, elements, b);
    const bool bitmap = delta.index_code == TF_CUDA_INDEX_BITMAP;
    const uint32_t bits = ElementsOfBlock(elements, b);
    const uint16_t* positions = static_cast<const uint16_t*>(delta.index) + entries.begin;
    Item* values = static_cast<Item*>(delta.values) + entries.begin;
    uint32_t count = entries.count;
    uint32_t left = entries.count;
    uint64_t bad = entries.refused;
    for (uint32_t origin = 0; origin < bits; origin += kScatterTile) {
      if (bitmap) {
        const uint32_t set = Decode(block, delta.index, b, origin);
        positions = block.template shared<ScatterShared>().positions;
        count = Least32(set, left);
        bad += set - count;
      }
      block.ForEach([&](uint32_t thread) {
        const uint64_t outside =
            MoveEntries<Item, kExchange>(thread, dense + b * kBlockElements, bits, positions, values, count);
        if (outside != 0) block.AtomicAdd(refused, outside);
      });
      left -= count;
      values += count;
      if (!bitmap) break;
    }
    bad += left;
    block.ForEach([&](uint32_t thread) {
      if (thread == 0 && bad != 0) block.AtomicAdd(refused, bad);
    });
  }
};

/// dense[position] = value.
template <class Item>
struct ScatterBody {
  static constexpr Tuning kTuning = kScatterTuning;
  static constexpr uint32_t kThreads = kScatterThreads;
  using Shared = ScatterShared;

  PatchedTensor<Item, false> tensor;
  tf_cuda_delta delta;

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    const uint64_t blocks = BlockCount(tensor.elements);
    for (uint64_t b = block.index(); b < blocks; b += block.blocks()) tensor.Apply(block, b, delta);
  }
};

/// Leaves one task and enters another in all tensors with items of one size. A kernel for each size, because
/// one for all of them would not have registers enough.
template <class Item>
struct SwapBody {
  static constexpr Tuning kTuning = kSwapTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  static_assert(kThreads == kScatterThreads, "both kernels run the same blocks");
  using Shared = ScatterShared;

  const tf_cuda_swap_tensor* tensors;
  uint32_t tensor_count;
  uint64_t blocks;
  uint64_t* refused;

  /// The tensor that block b of all tensors belongs to: the last one that does not begin behind it. Of empty
  /// tensors, which begin where the next one does, it is never the one.
  TF_KERNEL uint32_t TensorOf(uint64_t b) const {
    uint32_t low = 0, high = tensor_count;
    while (high - low > 1) {
      const uint32_t middle = low + (high - low) / 2;
      if (tensors[middle].first_block <= b) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return low;
  }

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    const uint64_t stride = block.blocks();
    for (uint64_t b = block.index(); b < blocks;) {
      const tf_cuda_swap_tensor& job = tensors[TensorOf(b)];
      const uint64_t end = job.first_block + BlockCount(job.elements);
      const bool inside = job.first_block <= b && b < end;  // false for a list that does not add up
      if (inside && job.item_bytes == sizeof(Item)) Swap(block, job, b - job.first_block);
      // Tensors of other items are skipped as a whole.
      const uint64_t left = inside && job.item_bytes != sizeof(Item) ? end - b : 1;
      b += (left + stride - 1) / stride * stride;
    }
  }

  template <class Block>
  TF_KERNEL void Swap(Block& block, const tf_cuda_swap_tensor& job, uint64_t b) const {
    const PatchedTensor<Item, true> tensor{static_cast<Item*>(job.dense), job.elements, refused};
    // Each ends with a barrier: what leaves is back in place before something enters over it. Unrolled, it
    // would take twice the registers.
#ifdef __CUDACC__
#pragma unroll 1
#endif
    for (uint32_t enter = 0; enter < 2; enter++) {
      tensor.Apply(block, b, enter != 0 ? job.enter : job.leave);
    }
  }
};

}  // namespace taskfold::cuda
