#include "magnitude_select.h"

#include "check.h"
#include "check_job.h"
#include "launch.h"
#include "scan.h"
#include "taskfold_cuda_kernels.h"

static_assert(TF_CUDA_BLOCK == taskfold::kBlockElements);

namespace taskfold::cuda {
namespace {

template <Dtype kDtype, class Job>
RankedTensor<kDtype> TensorOf(const Job& job) {
  using Raw = typename Storage<kDtype>::Raw;
  return {static_cast<const Raw*>(job.merged), static_cast<const Raw*>(job.task), job.elements,
          job.threshold};
}

/// Null, or what is wrong with the parts that rank and emit share.
template <class Job>
const char* WrongRanking(const tf_cuda_queue* queue, const Job* job) {
  if (queue == nullptr || job == nullptr) return "rank or emit: queue or job is null";
  if (!IsDtype(job->dtype)) return "rank or emit: unknown dtype";
  if (job->elements > 0 && job->task == nullptr) return "rank or emit: task is null";
  if (!IsAligned(job->task) || !IsAligned(job->merged))
    return "rank or emit: task and merged must be aligned to 16 bytes";
  return nullptr;
}

/// Working memory of place: the running sums, the ties as they were, and what the scan needs.
struct PlaceMemory {
  RankSums* sums = nullptr;
  uint64_t* ties = nullptr;
  void* temporary = nullptr;
  size_t temporary_bytes = 0;
};

int Allocate(tf_cuda_queue* queue, const tf_cuda_place_job& job, const LoadRanks& ranks, PlaceMemory* memory,
             ErrorText error) {
  constexpr size_t kAlignment = 256;
  size_t sums_bytes = 0;
  if (job.blocks > 0) {
    TF_CUDA_PASS(
        InclusiveSums(queue, job.blocks, ranks, memory->sums, nullptr, &memory->temporary_bytes, error));
    sums_bytes = (job.blocks * sizeof(RankSums) + kAlignment - 1) / kAlignment * kAlignment;
  }
  void* start = nullptr;
  TF_CUDA_PASS(Workspace(queue, kAlignment + sums_bytes + memory->temporary_bytes, &start, error));
  auto* bytes = static_cast<unsigned char*>(start);
  memory->ties = reinterpret_cast<uint64_t*>(bytes);
  memory->sums = reinterpret_cast<RankSums*>(bytes + kAlignment);
  memory->temporary = bytes + kAlignment + sums_bytes;
  return TF_CUDA_OK;
}

int Place(tf_cuda_queue* queue, const tf_cuda_place_job& job, ErrorText error) {
  const LoadRanks ranks{job.above, job.equal};
  PlaceMemory memory;
  TF_CUDA_PASS(Allocate(queue, job, ranks, &memory, error));
  TF_CUDA_TRY(cudaSetDevice(queue->device), error);
  // A copy, because one thread writes what is left while others still read what there was.
  TF_CUDA_TRY(cudaMemcpyAsync(memory.ties, job.ties, sizeof(uint64_t), cudaMemcpyDefault, queue->stream),
              error);
  if (job.blocks > 0) {
    TF_CUDA_PASS(InclusiveSums(queue, job.blocks, ranks, memory.sums, memory.temporary,
                               &memory.temporary_bytes, error));
  }
  const PlaceBody body{job.blocks, memory.sums, memory.ties, job.ties, job.keep_equal, job.starts};
  return Launch(queue,
                GridFor(queue, job.blocks / PlaceBody::kThreads + 1, kPlaceTuning.blocks_per_multiprocessor),
                body, error);
}

template <Dtype kDtype>
int Emit(tf_cuda_queue* queue, const tf_cuda_emit_job& job, ErrorText error) {
  using Body = EmitBody<kDtype>;
  const Body body{TensorOf<kDtype>(job),
                  job.keep_equal,
                  job.starts,
                  static_cast<typename Body::Raw*>(job.values),
                  job.positions,
                  reinterpret_cast<typename Body::Piece*>(job.bits)};
  return Launch(queue, GridFor(queue, BlockCount(job.elements), kEmitTuning.blocks_per_multiprocessor), body,
                error);
}

}  // namespace
}  // namespace taskfold::cuda

int tf_cuda_rank(tf_cuda_queue* queue, const tf_cuda_rank_job* job, char* error, size_t error_bytes) {
  using namespace taskfold;
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (const char* wrong = WrongRanking(queue, job)) return Invalid(text, wrong);
  if (job->elements == 0) return TF_CUDA_OK;
  if (job->above == nullptr || job->equal == nullptr) return Invalid(text, "rank: above or equal is null");
  return VisitDtype(static_cast<Dtype>(job->dtype), [&]<Dtype kDtype>() {
    const RankBody<kDtype> body{TensorOf<kDtype>(*job), job->above, job->equal,
                                job->tally == nullptr ? nullptr : &job->tally->has_nan};
    return Launch(queue, GridFor(queue, BlockCount(job->elements), kRankTuning.blocks_per_multiprocessor),
                  body, text);
  });
}

int tf_cuda_place(tf_cuda_queue* queue, const tf_cuda_place_job* job, char* error, size_t error_bytes) {
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (queue == nullptr || job == nullptr) return Invalid(text, "place: queue or job is null");
  if (job->ties == nullptr || job->starts == nullptr) return Invalid(text, "place: ties or starts is null");
  if (job->blocks > 0 && (job->above == nullptr || job->equal == nullptr || job->keep_equal == nullptr)) {
    return Invalid(text, "place: above, equal or keep_equal is null");
  }
  return Place(queue, *job, text);
}

int tf_cuda_emit(tf_cuda_queue* queue, const tf_cuda_emit_job* job, char* error, size_t error_bytes) {
  using namespace taskfold;
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (const char* wrong = WrongRanking(queue, job)) return Invalid(text, wrong);
  if (job->elements == 0) return TF_CUDA_OK;
  if (job->keep_equal == nullptr || job->starts == nullptr) {
    return Invalid(text, "emit: keep_equal or starts is null");
  }
  if (job->values == nullptr && job->positions == nullptr && job->bits == nullptr) return TF_CUDA_OK;
  return VisitDtype(static_cast<Dtype>(job->dtype),
                    [&]<Dtype kDtype>() { return Emit<kDtype>(queue, *job, text); });
}
