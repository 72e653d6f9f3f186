#pragma once
// Exact selection, emit's three steps: rank counts per block of 65 536 elements, place turns counts into
// starts, emit writes the kept entries.
#include <type_traits>

#include "bits.h"
#include "block.h"
#include "core/block_scatter.h"
#include "core/float_convert.h"
#include "core/magnitude_key.h"
#include "tuning.h"

namespace taskfold::cuda {

/// Bit i says something of element i of a run of elements.
struct KeyMarks {
  uint32_t above = 0;
  uint32_t equal = 0;
  uint32_t nan = 0;
};

/// The ranked values. Read in runs of kItems elements, 16 bytes at a time.
template <Dtype kDtype>
struct RankedTensor {
  using Raw = typename Storage<kDtype>::Raw;
  using Vec = Vec16<Raw>;
  /// 32 bytes, which is the least that memory is read in; of one byte each, what 16 bits can mark.
  static constexpr uint32_t kVecs = sizeof(Raw) == 1 ? 1 : 2;
  static constexpr uint32_t kItems = kVecs * Vec::kItems;
  static constexpr uint32_t kRunsPerBlock = kBlockElements / kItems;
  struct Run {
    Vec vec[kVecs];
  };

  const Raw* merged;  // or null: zeros, which leave every key as it is
  const Raw* task;
  uint64_t elements;
  uint32_t threshold;

  TF_KERNEL static void Load(const Raw* from, uint32_t count, Run* run) {
    if (count == kItems) {
      for (uint32_t v = 0; v < kVecs; v++) run->vec[v] = reinterpret_cast<const Vec*>(from)[v];
      return;
    }
    for (uint32_t i = 0; i < kItems; i++) {
      run->vec[i / Vec::kItems].item[i % Vec::kItems] = i < count ? from[i] : Raw{0};
    }
  }

  /// Marks the run that begins at `first`, a multiple of kItems, and gives the task's values. Nothing behind
  /// the tensor's end is read or marked.
  TF_KERNEL KeyMarks Mark(uint64_t first, Run* values) const {
    KeyMarks marks;
    if (first >= elements) return marks;
    const uint32_t count = static_cast<uint32_t>(Least(kItems, elements - first));
    Run minus{};
    Load(task + first, count, values);
    if (merged != nullptr) Load(merged + first, count, &minus);
    for (uint32_t i = 0; i < kItems; i++) {
      const Raw value = values->vec[i / Vec::kItems].item[i % Vec::kItems];
      const Raw less = minus.vec[i / Vec::kItems].item[i % Vec::kItems];
      const uint32_t key = MagnitudeKey(Storage<kDtype>::Widen(value) - Storage<kDtype>::Widen(less));
      marks.above |= static_cast<uint32_t>(key > threshold) << i;
      marks.equal |= static_cast<uint32_t>(key == threshold) << i;
      marks.nan |= static_cast<uint32_t>(key == kNaNKey) << i;
    }
    const uint32_t inside = (uint32_t{1} << count) - 1;
    return {marks.above & inside, marks.equal & inside, marks.nan & inside};
  }
};

/// Step 1. A grid block takes whole tensor blocks, so each count is one reduction and one store.
template <Dtype kDtype>
struct RankBody {
  static constexpr Tuning kTuning = kRankTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  struct Shared {};
  using Tensor = RankedTensor<kDtype>;
  /// Three counts up to 65 536 share one sum.
  static constexpr uint32_t kCountBits = 21;
  static constexpr uint64_t kCountMask = (uint64_t{1} << kCountBits) - 1;

  Tensor tensor;
  uint32_t* above;
  uint32_t* equal;
  uint64_t* has_nan;  // or null

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    const uint64_t blocks = BlockCount(tensor.elements);
    typename Block::template PerThread<uint64_t> counts(block);
    for (uint64_t b = block.index(); b < blocks; b += block.blocks()) {
      block.ForEach([&](uint32_t thread) {
        uint32_t above_count = 0, equal_count = 0, nan_count = 0;
        for (uint32_t run = thread; run < Tensor::kRunsPerBlock; run += kThreads) {
          const uint64_t first = b * kBlockElements + static_cast<uint64_t>(run) * Tensor::kItems;
          if (first >= tensor.elements) break;
          typename Tensor::Run values;
          const KeyMarks marks = tensor.Mark(first, &values);
          above_count += CountBits(marks.above);
          equal_count += CountBits(marks.equal);
          nan_count += CountBits(marks.nan);
        }
        counts[thread] = above_count | static_cast<uint64_t>(equal_count) << kCountBits |
                         static_cast<uint64_t>(nan_count) << (2 * kCountBits);
      });
      const uint64_t sum = block.Sum(counts);
      block.ForEach([&](uint32_t thread) {
        if (thread != 0) return;
        above[b] = static_cast<uint32_t>(sum & kCountMask);
        equal[b] = static_cast<uint32_t>(sum >> kCountBits & kCountMask);
        if (has_nan != nullptr && sum >> (2 * kCountBits) != 0) block.AtomicOr(has_nan, uint64_t{1});
      });
    }
  }
};

/// Entries above the threshold, and equal to it, of a block or of all blocks so far.
struct RankSums {
  uint64_t above;
  uint64_t equal;
  TF_HD RankSums operator+(const RankSums& more) const { return {above + more.above, equal + more.equal}; }
};

struct LoadRanks {
  const uint32_t* above;
  const uint32_t* equal;
  TF_HD RankSums operator()(uint64_t block) const { return {above[block], equal[block]}; }
};

/// Step 2, behind the running sums: the first `ties` ties are kept, so before a block
/// min(ties, equal before it) of them are, and one scan gives everything.
struct PlaceBody {
  static constexpr Tuning kTuning = kPlaceTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  struct Shared {};

  uint64_t blocks;
  const RankSums* sums;  // [blocks], each with its own block
  const uint64_t* ties;  // [1], not where ties_left is
  uint64_t* ties_left;   // out [1]
  uint32_t* keep_equal;  // out [blocks]
  uint64_t* starts;      // out [blocks + 1]

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    const uint64_t stride = static_cast<uint64_t>(block.blocks()) * kThreads;
    block.ForEach([&](uint32_t thread) {
      const uint64_t may_keep = *ties;
      for (uint64_t b = static_cast<uint64_t>(block.index()) * kThreads + thread; b <= blocks; b += stride) {
        const RankSums before = b == 0 ? RankSums{0, 0} : sums[b - 1];
        const uint64_t kept = Least(before.equal, may_keep);
        starts[b] = before.above + kept;
        if (b == blocks) {
          *ties_left = may_keep - kept;
        } else {
          keep_equal[b] = static_cast<uint32_t>(Least(sums[b].equal, may_keep) - kept);
        }
      }
    });
  }
};

/// Step 3. A tensor block is taken tile by tile: every thread marks one run, a scan over the threads gives
/// each its rank, kept entries are collected in shared memory and leave it side by side. starts[b] has any
/// alignment, so they leave item by item, neighbouring threads with neighbouring items.
template <Dtype kDtype>
struct EmitBody {
  static constexpr Tuning kTuning = kEmitTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  using Tensor = RankedTensor<kDtype>;
  using Raw = typename Tensor::Raw;
  static constexpr uint32_t kItems = Tensor::kItems;
  static constexpr uint32_t kTile = kThreads * kItems;
  static_assert(kBlockElements % kTile == 0 && kTile < 65536, "two counts share a scan of 32 bits");
  /// A run's piece of the bitmap.
  using Piece = std::conditional_t<kItems == 8, uint8_t, uint16_t>;
  struct Shared {
    Raw values[kTile];
    uint16_t positions[kTile];
  };

  Tensor tensor;
  const uint32_t* keep_equal;
  const uint64_t* starts;
  Raw* values;          // or null
  uint16_t* positions;  // or null
  Piece* bits;          // or null

  struct Marked {
    typename Tensor::Run values;
    uint32_t above;
    uint32_t equal;
  };
  /// How far a block has come. Ranks count what is kept, in order of position.
  struct Progress {
    uint64_t begin;      // the block's first entry
    uint32_t room;       // entries up to the next block's first
    uint32_t keep;       // ties that the block keeps
    uint32_t above = 0;  // in tiles before this one
    uint32_t equal = 0;  // also those that are not kept
    TF_KERNEL uint32_t Rank() const { return Least32(above + Least32(equal, keep), room); }
  };

  TF_KERNEL Progress Begin(uint64_t b) const {
    // starts come from the device's memory: whatever they say, nothing is written outside.
    const uint64_t total = starts[BlockCount(tensor.elements)];
    const uint64_t begin = Least(starts[b], total);
    const uint64_t end = Least(starts[b + 1], total);
    return {begin, static_cast<uint32_t>(end > begin ? Least(end - begin, kBlockElements) : 0),
            keep_equal[b]};
  }

  /// What is kept of a run. `counts`: entries above (low half) and equal (high half) in the tile before it.
  TF_KERNEL static uint32_t Kept(const Progress& progress, uint32_t counts, const Marked& marked,
                                 uint32_t* rank) {
    const uint32_t ties_before = Least32(progress.equal + (counts >> 16), progress.keep);
    *rank = Least32(progress.above + (counts & 0xFFFF) + ties_before, progress.room);
    const uint32_t kept = marked.above | KeepLowest(marked.equal, progress.keep - ties_before);
    return KeepLowest(kept, progress.room - *rank);
  }

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    const uint64_t blocks = BlockCount(tensor.elements);
    for (uint64_t b = block.index(); b < blocks; b += block.blocks()) {
      Progress progress = Begin(b);
      for (uint32_t tile = 0; tile < kBlockElements / kTile; tile++) {
        // The bitmap's spare bits are written too.
        if (bits == nullptr && b * kBlockElements + tile * kTile >= tensor.elements) break;
        EmitTile(block, b, tile * kTile, &progress);
      }
    }
  }

  /// `origin`: the tile's first element inside the block.
  template <class Block>
  TF_KERNEL void EmitTile(Block& block, uint64_t b, uint32_t origin, Progress* progress) const {
    Shared& stage = block.template shared<Shared>();
    typename Block::template PerThread<Marked> marked(block);
    typename Block::template PerThread<uint32_t> counts(block);
    block.ForEach([&](uint32_t thread) {
      Marked& mine = marked[thread];
      const KeyMarks marks = tensor.Mark(b * kBlockElements + origin + thread * kItems, &mine.values);
      mine.above = marks.above;
      mine.equal = marks.equal;
      counts[thread] = CountBits(marks.above) | CountBits(marks.equal) << 16;
    });
    const uint32_t sums = block.ExclusiveSum(counts);
    const Progress before = *progress;
    const uint32_t first_rank = before.Rank();
    block.ForEach([&](uint32_t thread) {
      const Marked& mine = marked[thread];
      uint32_t rank;
      const uint32_t kept = Kept(before, counts[thread], mine, &rank);
      if (bits != nullptr) {
        bits[(b * kBlockElements + origin) / kItems + thread] = static_cast<Piece>(kept);
      }
      uint32_t slot = rank - first_rank;
      // Not a loop over set bits: registers have no index.
      for (uint32_t i = 0; i < kItems; i++) {
        if ((kept >> i & 1) == 0) continue;
        stage.values[slot] = mine.values.vec[i / Tensor::Vec::kItems].item[i % Tensor::Vec::kItems];
        stage.positions[slot] = static_cast<uint16_t>(origin + thread * kItems + i);
        slot++;
      }
    });
    progress->above += sums & 0xFFFF;
    progress->equal += sums >> 16;
    const uint32_t kept = progress->Rank() - first_rank;
    const uint64_t to = before.begin + first_rank;
    block.ForEach([&](uint32_t thread) {
      if (values != nullptr) {
        for (uint32_t i = thread; i < kept; i += kThreads) values[to + i] = stage.values[i];
      }
      if (positions != nullptr) {
        for (uint32_t i = thread; i < kept; i += kThreads) positions[to + i] = stage.positions[i];
      }
    });
  }
};

}  // namespace taskfold::cuda
