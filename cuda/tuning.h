#pragma once
// Numbers to tune, in one place. None of them was measured on a GPU yet. scripts/check-cuda-resources.mjs
// compares what nvcc says a kernel takes with this plan.

#include <cstdint>

namespace taskfold::cuda {

/// One kind of kernel.
struct Tuning {
  /// Threads of a block.
  uint32_t threads;
  /// Blocks of a multiprocessor that the grid is sized for; what is left is taken in further rounds.
  uint32_t blocks_per_multiprocessor;
  /// Registers that a thread may take, so that these blocks fit a multiprocessor's 65 536.
  uint32_t most_registers;
};

constexpr Tuning Plan(uint32_t threads, uint32_t blocks) {
  return {threads, blocks, 65536 / (threads * blocks) / 8 * 8};
}

/// Elementwise: conversion. Memory-bound, so as many threads as their registers allow: 16 bytes of each are
/// on their way.
inline constexpr Tuning kConvertTuning = Plan(256, 6);
/// Merging, counting: several elements of a thread at once, and what is counted of them, take more registers.
inline constexpr Tuning kMergeTuning = Plan(256, 4);
inline constexpr Tuning kCountTuning = Plan(256, 4);
/// Counters of keys that a block keeps in shared memory, a power of two, at least TF_CUDA_MAX_TASKS.
inline constexpr uint32_t kKeySlots = 1024;
/// Digests: small blocks, because a leaf is work for 8 threads and a tensor has few leaves.
inline constexpr Tuning kDigestTuning = Plan(64, 8);

/// Selection's count: a grid block takes a whole block of 65 536 elements and adds up once. A tensor has few
/// of them for a GPU, so grid blocks are large; 64 bytes of a thread on their way at a time make up for
/// registers that let only half of a multiprocessor's threads run.
inline constexpr Tuning kRankTuning = Plan(512, 2);
/// Elementwise over blocks, a few thousand of them: what counts is the launch.
inline constexpr Tuning kPlaceTuning = Plan(256, 2);
/// Selection's write: the same, and a tile of 4096 (f32) or 8192 elements waits in 24 or 32 KiB of shared
/// memory, of which two fit the smallest multiprocessors that we build for (100 KiB).
inline constexpr Tuning kEmitTuning = Plan(512, 2);
/// Deltas: stores all over the place, bound by latency, so many threads. A bitmap's tile, 8192 bits, waits in
/// 16 KiB of shared memory, of which five fit the smallest multiprocessors.
inline constexpr Tuning kScatterTuning = Plan(256, 5);
/// The same, with a load of what is there before each store: more registers, fewer threads.
inline constexpr Tuning kSwapTuning = Plan(256, 4);

/// Products with a sketch: 64 sums a thread in registers, half of them of the step at work, and the next
/// step's elements on their way. Three blocks of 18 KiB of shared memory fit every multiprocessor that we
/// build for.
inline constexpr Tuning kSketchTuning = Plan(128, 3);
/// Blocks' work into which a product is cut at most, so that a few rows fill a GPU as well; 12 MiB of parts.
inline constexpr uint32_t kSketchItems = 768;
/// Fewest steps of one of these along the sum: 256 terms.
inline constexpr uint32_t kSketchLeastSteps = 8;
/// Products in f64: 16 sums a thread, small tiles because the matrices are small.
inline constexpr Tuning kWideTuning = Plan(64, 10);
inline constexpr uint32_t kWideItems = 256, kWideLeastSteps = 16;
/// Adding up the parts of products. Memory-bound.
inline constexpr Tuning kCombineTuning = Plan(256, 5);
/// A Cholesky factorisation is one block's; a solution takes one thread a column, so small blocks.
inline constexpr Tuning kCholeskyTuning = Plan(256, 2);
inline constexpr Tuning kSolveTuning = Plan(64, 8);

}  // namespace taskfold::cuda
