#pragma once
// Running sums over a whole array on a queue: CUB's device-wide scan, in one pass over memory. With
// TF_CUDA_EMULATED a loop.
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>

#include <cub/device/device_scan.cuh>
#endif

#include "check.h"
#include "core/host_device.h"
#include "queue.h"

namespace taskfold::cuda {

/// a + b, for sums that a struct holds several of.
struct Plus {
  template <class T>
  TF_HD T operator()(const T& a, const T& b) const {
    return a + b;
  }
};

/// out[i] = load(0) + … + load(i) for i < items, items ≥ 1. As with CUB, `temporary` null: only writes the
/// bytes of working memory that it needs (aligned to 256) to *temporary_bytes. T: an integer or a struct with
/// operator+, whose sums do not depend on where they are bracketed. load: T operator()(uint64_t) const,
/// TF_HD.
template <class T, class Load>
int InclusiveSums(tf_cuda_queue* queue, uint64_t items, const Load& load, T* out, void* temporary,
                  size_t* temporary_bytes, ErrorText error) {
  TF_CUDA_TRY(cudaSetDevice(queue->device), error);
#ifdef __CUDACC__
  const auto in = thrust::make_transform_iterator(thrust::make_counting_iterator<uint64_t>(0), load);
  TF_CUDA_TRY(
      cub::DeviceScan::InclusiveScan(temporary, *temporary_bytes, in, out, Plus{}, items, queue->stream),
      error);
#else
  if (temporary == nullptr) {
    *temporary_bytes = 1;
    return TF_CUDA_OK;
  }
  TF_CUDA_TRY(EmulatedLaunch(queue->stream,
                             [items, load, out] {
                               T sum{};
                               for (uint64_t i = 0; i < items; i++) out[i] = sum = sum + load(i);
                             }),
              error);
#endif
  return TF_CUDA_OK;
}

}  // namespace taskfold::cuda
