#include "fingerprint.h"

#include "check.h"
#include "check_job.h"
#include "launch.h"

int tf_cuda_digest(tf_cuda_queue* queue, const tf_cuda_digest_job* job, char* error, size_t error_bytes) {
  using namespace taskfold::cuda;
  const ErrorText text{error, error_bytes};
  if (queue == nullptr || job == nullptr) return Invalid(text, "digest: queue or job is null");
  if (job->length == 0) return TF_CUDA_OK;
  if (job->bytes == nullptr || job->digests == nullptr) return Invalid(text, "digest: a pointer is null");
  if (!IsAligned(job->bytes)) return Invalid(text, "digest: bytes is not aligned to 16 bytes");
  const uint64_t leaves = (job->length - 1) / TF_CUDA_LEAF + 1;
  const DigestBody body{static_cast<const uint8_t*>(job->bytes), job->length, leaves, job->digests};
  const uint64_t blocks = (leaves - 1) / DigestBody::kLeaves + 1;
  return Launch(queue, GridFor(queue, blocks, kDigestTuning.blocks_per_multiprocessor), body, text);
}
