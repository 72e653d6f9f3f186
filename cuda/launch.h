#pragma once
// Runs a kernel's body (block.h) on a queue. With TF_CUDA_EMULATED, the tests' stand-in for a GPU, on the
// CPU.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "block.h"
#include "check.h"
#include "queue.h"

namespace taskfold::cuda {

/// Blocks of a grid over `items` pieces of work that bodies take in strides of block.blocks(): enough to fill
/// the device `waves` times, and no more than there is work.
inline uint32_t GridFor(const tf_cuda_queue* queue, uint64_t items, uint32_t per_multiprocessor) {
  const uint64_t most = static_cast<uint64_t>(std::max(queue->multiprocessors, 1)) * per_multiprocessor;
  return static_cast<uint32_t>(std::min<uint64_t>(std::max<uint64_t>(items, 1), most));
}

#ifdef __CUDACC__

// Threads that a multiprocessor has room for: the data centres' GPUs (8.0, 9.0, 10.0) 2048, the others fewer.
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 860 || __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200)
inline constexpr uint32_t kMultiprocessorThreads = 1536;
#else
inline constexpr uint32_t kMultiprocessorThreads = 2048;
#endif

/// The plan of tuning.h is part of the kernel's name and of its launch bounds: so nvcc itself stays below the
/// plan's registers, and scripts/check-cuda-resources.mjs reads the plan off the name in ptxas's report, to
/// see that this took no spills and that shared memory lets the planned blocks run side by side.
template <class Body, uint32_t kThreads, uint32_t kBlocks>
__global__ void __launch_bounds__(kThreads, std::min(kBlocks, kMultiprocessorThreads / kThreads))
    RunBody(const Body body) {
  static_assert(kThreads % 32 == 0 && kThreads * kBlocks <= 2048,
                "a plan is for whole warps of one multiprocessor");
  static_assert(sizeof(typename Body::Shared) <= 48 * 1024, "a block's shared memory is at most 48 KiB");
  __shared__ alignas(32) unsigned char shared[sizeof(typename Body::Shared)];
  DeviceBlock<kThreads> block(shared);
  body(block);
}

/// Starts `grid` blocks (0: nothing to do).
template <class Body>
int Launch(tf_cuda_queue* queue, uint32_t grid, const Body& body, ErrorText error) {
  if (grid == 0) return TF_CUDA_OK;
  TF_CUDA_TRY(cudaSetDevice(queue->device), error);
  RunBody<Body, Body::kThreads, Body::kTuning.blocks_per_multiprocessor>
      <<<grid, Body::kThreads, 0, queue->stream>>>(body);
  TF_CUDA_TRY(cudaGetLastError(), error);
  return TF_CUDA_OK;
}

#elif defined(TF_CUDA_EMULATED)

template <class Body>
int Launch(tf_cuda_queue* queue, uint32_t grid, const Body& body, ErrorText error) {
  if (grid == 0) return TF_CUDA_OK;
  static_assert(sizeof(typename Body::Shared) <= 48 * 1024, "a block's shared memory is at most 48 KiB");
  TF_CUDA_TRY(cudaSetDevice(queue->device), error);
  TF_CUDA_TRY(EmulatedLaunch(queue->stream,
                             [body, grid] {
                               alignas(32) static thread_local unsigned char shared[48 * 1024];
                               const ThreadOrder order = static_cast<ThreadOrder>(EmulatedOrder());
                               for (uint32_t i = 0; i < grid; i++) {
                                 const uint32_t index = order == ThreadOrder::kForward ? i : grid - 1 - i;
                                 HostBlock<Body::kThreads> block(index, grid, shared, order);
                                 body(block);
                               }
                             }),
              error);
  return TF_CUDA_OK;
}

#endif

}  // namespace taskfold::cuda
