#pragma once

#include "block.h"
#include "core/float_convert.h"
#include "core/magnitude_key.h"
#include "taskfold_cuda_kernels.h"
#include "tuning.h"

namespace taskfold::cuda {

/// What a block counted of the keys of up to kMostTasks tasks before it adds that to the tasks' windows.
///
/// Differences of 16-bit weights fall on few keys, and a whole GPU would fight over their counters in global
/// memory. So bins are first counted in a small table in shared memory: a bin takes one of two places if it
/// is free and keeps it until the block ends; bins that find none are counted in global memory at once. Keys
/// above a window have a counter for each lane of a warp, so that its threads do not meet. 32 bits are
/// enough: no block of a full grid sees 2^32 elements.
template <uint32_t kMostTasks>
struct KeyCounts {
  static constexpr uint32_t kLanes = 32;
  static_assert((kKeySlots & (kKeySlots - 1)) == 0 && kKeySlots >= 2 * kMostTasks);

  uint32_t bin[kKeySlots];  // the bin counted there plus 1, or 0
  uint32_t hits[kKeySlots];
  uint32_t above[kMostTasks][kLanes];
  uint32_t has_nan[kMostTasks];

  /// Bits of a slot's number inside its task's share of the table.
  TF_KERNEL static uint32_t SlotBits(uint32_t tasks) {
    uint32_t bits = 0;
    while ((kKeySlots >> (bits + 1)) >= tasks) bits++;
    return bits;
  }

  TF_KERNEL void Clear(uint32_t thread, uint32_t threads) {
    for (uint32_t i = thread; i < kKeySlots; i += threads) bin[i] = hits[i] = 0;
    for (uint32_t i = thread; i < kMostTasks * kLanes; i += threads) above[i / kLanes][i % kLanes] = 0;
    for (uint32_t i = thread; i < kMostTasks; i += threads) has_nan[i] = 0;
  }

  /// Counts `times` keys of one bin.
  template <class Block>
  TF_KERNEL void CountBin(uint32_t task, uint32_t slot_bits, uint64_t* counts, uint32_t which,
                          uint32_t times) {
    const uint32_t first = (task << slot_bits) + ((which * 0x9E3779B1u) >> (32 - slot_bits));
    for (uint32_t probe = 0; probe < 2; probe++) {
      const uint32_t slot = first ^ probe;
      const uint32_t seen = Block::AtomicCas(&bin[slot], 0, which + 1);
      if (seen == 0 || seen == which + 1) {
        Block::AtomicAdd(&hits[slot], times);
        return;
      }
    }
    Block::AtomicAdd(&counts[which], uint64_t{times});
  }

  /// Counts the keys of u[0 … kItems) against a task's window.
  template <class Block, uint32_t kItems>
  TF_KERNEL void Count(uint32_t thread, uint32_t task, uint32_t slot_bits, const tf_cuda_window& window,
                       const float (&u)[kItems]) {
    const uint32_t low = window.low, width = window.end - window.low, shift = window.shift;
    uint32_t over = 0, hit = 0;
    bool nan = false;
    for (uint32_t i = 0; i < kItems; i++) {
      const uint32_t key = MagnitudeKey(u[i]);
      nan |= key == kNaNKey;
      over += key >= window.end;
      hit |= static_cast<uint32_t>(key - low < width) << i;
    }
    if (nan) Block::AtomicOr(&has_nan[task], 1u);
    if (over != 0) Block::AtomicAdd(&above[task][thread % kLanes], over);
    if (hit == 0) return;
    // Neighbours with the same bin are counted together.
    uint32_t which = 0, times = 0;
    for (uint32_t i = 0; i < kItems; i++) {
      if ((hit >> i & 1) == 0) continue;
      const uint32_t next = (MagnitudeKey(u[i]) - low) >> shift;
      if (next != which && times != 0) {
        CountBin<Block>(task, slot_bits, window.counts, which, times);
        times = 0;
      }
      which = next;
      times++;
    }
    CountBin<Block>(task, slot_bits, window.counts, which, times);
  }

  /// Adds what was counted to the windows; window_of(task) gives a copy of one, because a pointer to them
  /// would make nvcc copy a kernel's arguments into each thread's memory.
  template <class Block, class WindowOf>
  TF_KERNEL void Flush(uint32_t thread, uint32_t threads, uint32_t tasks, const WindowOf& window_of) const {
    const uint32_t slot_bits = SlotBits(tasks);
    for (uint32_t i = thread; i < tasks << slot_bits; i += threads) {
      if (bin[i] != 0) Block::AtomicAdd(&window_of(i >> slot_bits).counts[bin[i] - 1], uint64_t{hits[i]});
    }
    for (uint32_t task = thread; task < tasks; task += threads) {
      uint64_t sum = 0;
      // From another lane on in each thread: they are in different banks.
      for (uint32_t i = 0; i < kLanes; i++) sum += above[task][(task + i) % kLanes];
      if (sum != 0) Block::AtomicAdd(&window_of(task).tally->above, sum);
      if (has_nan[task] != 0) Block::AtomicOr(&window_of(task).tally->has_nan, uint64_t{1});
    }
  }
};

}  // namespace taskfold::cuda
