#pragma once

#include <cmath>

#include "block.h"
#include "core/float_convert.h"
#include "key_counts.h"
#include "taskfold_cuda_kernels.h"
#include "tuning.h"

namespace taskfold::cuda {

/// kItems elements of a dtype, loaded and stored at once.
template <class Raw, uint32_t kCount>
struct alignas(kCount * sizeof(Raw)) Piece {
  static constexpr uint32_t kItems = kCount;
  Raw item[kCount];

  TF_KERNEL static Piece Load(const void* from, uint64_t index) {
    return static_cast<const Piece*>(from)[index];
  }
  TF_KERNEL void Store(void* to, uint64_t index) const { static_cast<Piece*>(to)[index] = *this; }
};

/// θ* = round(fma(λ, Σt(θt − θ0), θ0)) and, with kRanked, the keys of θt − θ*. A thread takes 16 bytes of
/// every operand at a time, of 8-bit dtypes 8, whose sums would not fit its registers otherwise. It reads the
/// tasks twice; the second time they are in the L1 cache.
template <Dtype kDtype, bool kRanked>
struct MergeBody {
  static constexpr Tuning kTuning = kMergeTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  using Raw = typename Storage<kDtype>::Raw;
  using Vector = Piece<Raw, sizeof(Raw) == 4 ? 4 : 8>;
  static constexpr uint32_t kMostWindows = kRanked ? TF_CUDA_MAX_TASKS : 1;
  using Counts = KeyCounts<kMostWindows>;
  struct Nothing {};
  struct Shared {
    uint32_t merged_nan;
    std::conditional_t<kRanked, Counts, Nothing> counts;
  };

  uint64_t elements;
  const void* base;
  void* merged;
  tf_cuda_tally* merged_tally;  // or null
  uint32_t task_count;
  float lambda;
  const void* tasks[TF_CUDA_MAX_TASKS];
  tf_cuda_window windows[kMostWindows];

  /// Merges and ranks the P::kItems elements from index · P::kItems on.
  template <class P, class Block>
  TF_KERNEL void Merge(Shared& shared, uint32_t thread, uint32_t slot_bits, uint64_t index) const {
    const P from = P::Load(base, index);
    float sum[P::kItems] = {};
    for (uint32_t t = 0; t < task_count; t++) {
      const P task = P::Load(tasks[t], index);
      for (uint32_t i = 0; i < P::kItems; i++) {
        sum[i] = sum[i] + (Storage<kDtype>::Widen(task.item[i]) - Storage<kDtype>::Widen(from.item[i]));
      }
    }
    P out;
    bool nan = false;
    for (uint32_t i = 0; i < P::kItems; i++) {
      out.item[i] = Storage<kDtype>::Round(fmaf(lambda, sum[i], Storage<kDtype>::Widen(from.item[i])));
      const float star = Storage<kDtype>::Widen(out.item[i]);
      nan |= star != star;
    }
    out.Store(merged, index);
    if (nan && merged_tally != nullptr) Block::AtomicOr(&shared.merged_nan, 1u);
    if constexpr (kRanked) {
      for (uint32_t t = 0; t < task_count; t++) {
        const P task = P::Load(tasks[t], index);
        float u[P::kItems];
        for (uint32_t i = 0; i < P::kItems; i++) {
          u[i] = Storage<kDtype>::Widen(task.item[i]) - Storage<kDtype>::Widen(out.item[i]);
        }
        shared.counts.template Count<Block>(thread, t, slot_bits, windows[t], u);
      }
    }
  }

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    Shared& shared = block.template shared<Shared>();
    block.ForEach([&](uint32_t thread) {
      if (thread == 0) shared.merged_nan = 0;
      if constexpr (kRanked) shared.counts.Clear(thread, kThreads);
    });
    block.ForEach([&](uint32_t thread) {
      const uint32_t slot_bits = kRanked ? Counts::SlotBits(task_count) : 0;
      const uint64_t vectors = elements / Vector::kItems;
      const uint64_t stride = static_cast<uint64_t>(block.blocks()) * kThreads;
      const uint64_t first = static_cast<uint64_t>(block.index()) * kThreads + thread;
      for (uint64_t i = first; i < vectors; i += stride) Merge<Vector, Block>(shared, thread, slot_bits, i);
      // What does not fill a vector, one by one.
      for (uint64_t i = vectors * Vector::kItems + first; i < elements; i += stride) {
        Merge<Piece<Raw, 1>, Block>(shared, thread, slot_bits, i);
      }
    });
    block.ForEach([&](uint32_t thread) {
      if (thread == 0 && shared.merged_nan != 0) block.AtomicOr(&merged_tally->has_nan, uint64_t{1});
      if constexpr (kRanked) {
        shared.counts.template Flush<Block>(thread, kThreads, task_count,
                                            [&](uint32_t task) { return windows[task]; });
      }
    });
  }
};

/// The keys of task − merged, or of the task's own values.
template <Dtype kDtype, bool kHasMerged>
struct CountBody {
  static constexpr Tuning kTuning = kCountTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  using Raw = typename Storage<kDtype>::Raw;
  using Vector = Piece<Raw, 16 / sizeof(Raw)>;
  using Shared = KeyCounts<1>;

  uint64_t elements;
  const void* merged;
  const void* task;
  tf_cuda_window window;

  template <class P, class Block>
  TF_KERNEL void Count(Shared& shared, uint32_t thread, uint64_t index) const {
    const P value = P::Load(task, index);
    float u[P::kItems];
    for (uint32_t i = 0; i < P::kItems; i++) u[i] = Storage<kDtype>::Widen(value.item[i]);
    if constexpr (kHasMerged) {
      const P minus = P::Load(merged, index);
      for (uint32_t i = 0; i < P::kItems; i++) u[i] = u[i] - Storage<kDtype>::Widen(minus.item[i]);
    }
    shared.template Count<Block>(thread, 0, Shared::SlotBits(1), window, u);
  }

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    Shared& shared = block.template shared<Shared>();
    block.ForEach([&](uint32_t thread) { shared.Clear(thread, kThreads); });
    block.ForEach([&](uint32_t thread) {
      const uint64_t vectors = elements / Vector::kItems;
      const uint64_t stride = static_cast<uint64_t>(block.blocks()) * kThreads;
      const uint64_t first = static_cast<uint64_t>(block.index()) * kThreads + thread;
      for (uint64_t i = first; i < vectors; i += stride) Count<Vector, Block>(shared, thread, i);
      for (uint64_t i = vectors * Vector::kItems + first; i < elements; i += stride) {
        Count<Piece<Raw, 1>, Block>(shared, thread, i);
      }
    });
    block.ForEach([&](uint32_t thread) {
      shared.template Flush<Block>(thread, kThreads, 1, [&](uint32_t) { return window; });
    });
  }
};

}  // namespace taskfold::cuda
