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

/// Elementwise: conversion. Memory-bound, so as many threads as fit.
inline constexpr Tuning kConvertTuning = Plan(256, 8);

}  // namespace taskfold::cuda
