#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "check.h"
#include "core/block_scatter.h"
#include "device_buffer.h"
#include "taskfold_cuda.h"
#include "tuning.h"

namespace taskfold::cuda {
namespace {

// One CUDA block per tensor block; `refused` counts entries behind the tensor's end (none in a checked
// delta).
template <typename Item, typename Start>
__global__ void ScatterKernel(BlockScatter<Item, Start> job, uint64_t blocks, unsigned long long* refused) {
  for (uint64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    const uint64_t bad = ScatterLane(job, block, threadIdx.x, blockDim.x);
    if (bad != 0) atomicAdd(refused, static_cast<unsigned long long>(bad));
  }
}

// The kernel reads entries between these, so they must be inside the arrays whatever a file said.
template <typename Start>
bool StartsAreValid(const Start* starts, uint64_t blocks, uint64_t kept) {
  if (starts[0] != 0 || starts[blocks] != kept) return false;
  return std::is_sorted(starts, starts + blocks + 1);
}

template <typename Item, typename Start>
int Scatter(int32_t device, const tf_cuda_scatter& job, ErrorText error) {
  const uint64_t blocks = BlockCount(job.elements);
  const Start* starts = static_cast<const Start*>(job.starts);
  if (!StartsAreValid(starts, blocks, job.kept)) {
    return Invalid(error, "delta scatter: block starts must ascend from 0 to the number of entries");
  }
  if (job.kept == 0) return TF_CUDA_OK;

  TF_CUDA_TRY(cudaSetDevice(device), error);
  int major = 0;
  int multiprocessors = 0;
  TF_CUDA_TRY(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), error);
  TF_CUDA_TRY(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device), error);

  const size_t dense_bytes = job.elements * sizeof(Item);
  const size_t starts_bytes = (blocks + 1) * sizeof(Start);
  const size_t index_bytes = job.kept * sizeof(uint16_t);
  const size_t value_bytes = job.kept * sizeof(Item);
  DeviceBuffer dense, device_starts, index, value, refused;
  TF_CUDA_TRY(dense.Allocate(dense_bytes), error);
  TF_CUDA_TRY(device_starts.Allocate(starts_bytes), error);
  TF_CUDA_TRY(index.Allocate(index_bytes), error);
  TF_CUDA_TRY(value.Allocate(value_bytes), error);
  TF_CUDA_TRY(refused.Allocate(sizeof(unsigned long long)), error);

  // A stream of the calling thread's own: jobs of two engine threads must not wait for each other.
  const cudaStream_t stream = cudaStreamPerThread;
  const auto up = cudaMemcpyHostToDevice;
  const auto down = cudaMemcpyDeviceToHost;
  TF_CUDA_TRY(cudaMemcpyAsync(dense.data(), job.dense, dense_bytes, up, stream), error);
  TF_CUDA_TRY(cudaMemcpyAsync(device_starts.data(), starts, starts_bytes, up, stream), error);
  TF_CUDA_TRY(cudaMemcpyAsync(index.data(), job.index, index_bytes, up, stream), error);
  TF_CUDA_TRY(cudaMemcpyAsync(value.data(), job.value, value_bytes, up, stream), error);
  TF_CUDA_TRY(cudaMemsetAsync(refused.data(), 0, sizeof(unsigned long long), stream), error);

  const ScatterTuning tuning = TuneScatter(major);
  const uint64_t most =
      static_cast<uint64_t>(std::max(multiprocessors, 1)) * tuning.blocks_per_multiprocessor;
  const unsigned int grid = static_cast<unsigned int>(std::min(blocks, most));
  const BlockScatter<Item, Start> on_device{dense.As<Item>(), job.elements, device_starts.As<const Start>(),
                                            index.As<const uint16_t>(), value.As<const Item>()};
  ScatterKernel<<<grid, tuning.threads, 0, stream>>>(on_device, blocks, refused.As<unsigned long long>());
  TF_CUDA_TRY(cudaGetLastError(), error);

  unsigned long long bad = 0;
  TF_CUDA_TRY(cudaMemcpyAsync(&bad, refused.data(), sizeof(bad), down, stream), error);
  TF_CUDA_TRY(cudaStreamSynchronize(stream), error);
  if (bad != 0) return Invalid(error, "delta scatter: an entry lies behind the tensor's end");
  TF_CUDA_TRY(cudaMemcpyAsync(job.dense, dense.data(), dense_bytes, down, stream), error);
  TF_CUDA_TRY(cudaStreamSynchronize(stream), error);
  return TF_CUDA_OK;
}

template <typename Item>
int ScatterItems(int32_t device, const tf_cuda_scatter& job, ErrorText error) {
  switch (job.start_bytes) {
    case 4:
      return Scatter<Item, uint32_t>(device, job, error);
    case 8:
      return Scatter<Item, uint64_t>(device, job, error);
    default:
      return Invalid(error, "delta scatter: start_bytes must be 4 or 8");
  }
}

}  // namespace
}  // namespace taskfold::cuda

int tf_cuda_delta_scatter(int32_t device, const tf_cuda_scatter* job, char* error, size_t error_bytes) {
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (job == nullptr) return Invalid(text, "delta scatter: job is null");
  if (job->elements == 0) {
    return job->kept == 0 ? TF_CUDA_OK : Invalid(text, "delta scatter: entries for an empty tensor");
  }
  if (job->dense == nullptr || job->starts == nullptr)
    return Invalid(text, "delta scatter: dense or starts is null");
  if (job->kept > job->elements) return Invalid(text, "delta scatter: more entries than elements");
  if (job->kept > 0 && (job->index == nullptr || job->value == nullptr)) {
    return Invalid(text, "delta scatter: index or value is null");
  }
  switch (job->item_bytes) {
    case 1:
      return ScatterItems<uint8_t>(device, *job, text);
    case 2:
      return ScatterItems<uint16_t>(device, *job, text);
    case 4:
      return ScatterItems<uint32_t>(device, *job, text);
    default:
      return Invalid(text, "delta scatter: item_bytes must be 1, 2 or 4");
  }
}
