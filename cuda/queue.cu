#include "queue.h"

#include <new>

#include "taskfold_cuda.h"

namespace taskfold::cuda {

int Workspace(tf_cuda_queue* queue, size_t bytes, void** memory, ErrorText error) {
  constexpr size_t kLeast = size_t{1} << 20;
  if (queue->workspace.bytes() < bytes) {
    size_t size = kLeast;
    while (size < bytes) size *= 2;
    TF_CUDA_TRY(cudaSetDevice(queue->device), error);
    // Kernels that run still use the old one.
    TF_CUDA_TRY(cudaStreamSynchronize(queue->stream), error);
    TF_CUDA_TRY(queue->workspace.Allocate(size), error);
  }
  *memory = queue->workspace.data();
  return TF_CUDA_OK;
}

}  // namespace taskfold::cuda

using taskfold::cuda::ErrorText;
using taskfold::cuda::Invalid;

int tf_cuda_queue_create(int32_t device, tf_cuda_queue** queue, char* error, size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (queue == nullptr) return Invalid(text, "queue is null");
  *queue = nullptr;
  TF_CUDA_TRY(cudaSetDevice(device), text);
  int major = 0, multiprocessors = 1;
  TF_CUDA_TRY(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), text);
  TF_CUDA_TRY(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device), text);
  cudaStream_t stream = nullptr;
  // Not the default stream, nor one that waits for it: the process may use CUDA for other things.
  TF_CUDA_TRY(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), text);
  *queue = new (std::nothrow) tf_cuda_queue;
  if (*queue == nullptr) {
    (void)cudaStreamDestroy(stream);
    if (error != nullptr && error_bytes > 0) std::snprintf(error, error_bytes, "host memory is full");
    return TF_CUDA_OUT_OF_MEMORY;
  }
  (*queue)->device = device;
  (*queue)->major = major;
  (*queue)->multiprocessors = multiprocessors;
  (*queue)->stream = stream;
  return TF_CUDA_OK;
}

int tf_cuda_queue_destroy(tf_cuda_queue* queue, char* error, size_t error_bytes) {
  if (queue == nullptr) return TF_CUDA_OK;
  const ErrorText text{error, error_bytes};
  int status = taskfold::cuda::Check(cudaSetDevice(queue->device), "cudaSetDevice", text);
  const int waited =
      taskfold::cuda::Check(cudaStreamSynchronize(queue->stream), "cudaStreamSynchronize", text);
  const int destroyed = taskfold::cuda::Check(cudaStreamDestroy(queue->stream), "cudaStreamDestroy", text);
  delete queue;
  if (status == TF_CUDA_OK) status = waited;
  return status == TF_CUDA_OK ? destroyed : status;
}

int tf_cuda_queue_wait(tf_cuda_queue* queue, char* error, size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (queue == nullptr) return Invalid(text, "queue is null");
  TF_CUDA_TRY(cudaStreamSynchronize(queue->stream), text);
  return TF_CUDA_OK;
}

void* tf_cuda_queue_stream(const tf_cuda_queue* queue) { return queue == nullptr ? nullptr : queue->stream; }

int tf_cuda_copy(tf_cuda_queue* queue, void* to, const void* from, uint64_t bytes, char* error,
                 size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (queue == nullptr) return Invalid(text, "queue is null");
  if (bytes == 0) return TF_CUDA_OK;
  if (to == nullptr || from == nullptr) return Invalid(text, "copy: a pointer is null");
  TF_CUDA_TRY(cudaSetDevice(queue->device), text);
  TF_CUDA_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, queue->stream), text);
  return TF_CUDA_OK;
}

int tf_cuda_fill(tf_cuda_queue* queue, void* to, uint8_t byte, uint64_t bytes, char* error,
                 size_t error_bytes) {
  const ErrorText text{error, error_bytes};
  if (queue == nullptr) return Invalid(text, "queue is null");
  if (bytes == 0) return TF_CUDA_OK;
  if (to == nullptr) return Invalid(text, "fill: the pointer is null");
  TF_CUDA_TRY(cudaSetDevice(queue->device), text);
  TF_CUDA_TRY(cudaMemsetAsync(to, byte, bytes, queue->stream), text);
  return TF_CUDA_OK;
}
