/* Kernels on device memory: merging, ranking, deltas, conversion, digests. Twin of native/backend/backend.h:
 * the same bits as the CPU, as the scalar code in native/core says.
 *
 * Every pointer inside a job is device memory aligned to 16 bytes, except where "host" is said; `elements`
 * may be 0. Calls check shapes and null pointers (TF_CUDA_INVALID), queue the work and return. Jobs are read
 * before the call returns. dtype: 0 F32, 1 F16, 2 BF16, 3 F8_E4M3, 4 F8_E5M2 (core/dtype.h). */
#pragma once

#include "taskfold_cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Elements of one block of a delta. */
#define TF_CUDA_BLOCK 65536
/* Most tasks that one merge takes. */
#define TF_CUDA_MAX_TASKS 64
/* Bytes of one leaf of a fingerprint (docs/FORMAT.md, "Fingerprints"). */
#define TF_CUDA_LEAF 262144

/* What counting adds up; the caller zeroes it, any number of calls add to it. */
typedef struct tf_cuda_tally {
  uint64_t above;   /* keys ≥ end */
  uint64_t has_nan; /* not 0: a ranked value is NaN (which counts as the highest key) */
} tf_cuda_tally;

/* A window of the key space (core/magnitude_key.h): keys ≥ end add 1 to tally->above, keys in [low, end) add
 * 1 to counts[(key − low) >> shift]. low = end = 0x7FC00001: only NaN is looked for. */
typedef struct tf_cuda_window {
  uint32_t low;
  uint32_t end;
  uint32_t shift;
  uint32_t bins;        /* ((end − 1 − low) >> shift) + 1, or 0 */
  uint64_t* counts;     /* [bins] */
  tf_cuda_tally* tally; /* [1] */
} tf_cuda_window;

/* θ* = round(fma(λ, Σt(θt − θ0), θ0)), and in the same pass the keys of θt − θ* of every task. */
typedef struct tf_cuda_merge_job {
  int32_t dtype;
  uint32_t task_count; /* 1 … TF_CUDA_MAX_TASKS */
  uint64_t elements;
  const void* base;         /* [elements] */
  const void* const* tasks; /* host [task_count] of device [elements] */
  float lambda;
  void* merged;                  /* out [elements]; not one of the inputs */
  const tf_cuda_window* windows; /* host [task_count]; null: nothing is ranked */
  tf_cuda_tally* merged_tally;   /* has_nan is set when θ* has one; null: not looked for */
} tf_cuda_merge_job;
TF_CUDA_EXPORT int tf_cuda_merge(tf_cuda_queue* queue, const tf_cuda_merge_job* job, TF_CUDA_ERROR);

/* The keys of task − merged, or of the task's own values. */
typedef struct tf_cuda_count_job {
  int32_t dtype;
  uint64_t elements;
  const void* merged; /* [elements] or null */
  const void* task;   /* [elements] */
  tf_cuda_window window;
} tf_cuda_count_job;
TF_CUDA_EXPORT int tf_cuda_count(tf_cuda_queue* queue, const tf_cuda_count_job* job, TF_CUDA_ERROR);

/* First step of emitting a delta: how many entries of each block rank above the threshold's key, or equal to
 * it. blocks = ceil(elements / TF_CUDA_BLOCK). */
typedef struct tf_cuda_rank_job {
  int32_t dtype;
  uint32_t threshold;
  uint64_t elements;
  const void* merged;   /* [elements] or null: the task's values are ranked */
  const void* task;     /* [elements] */
  uint32_t* above;      /* out [blocks] */
  uint32_t* equal;      /* out [blocks] */
  tf_cuda_tally* tally; /* has_nan is set, above untouched; null: not looked for */
} tf_cuda_rank_job;
TF_CUDA_EXPORT int tf_cuda_rank(tf_cuda_queue* queue, const tf_cuda_rank_job* job, TF_CUDA_ERROR);

/* Second step: deals the ties that may still be kept to the blocks in order, and adds up where each block's
 * entries start. */
typedef struct tf_cuda_place_job {
  uint64_t blocks;
  const uint32_t* above; /* [blocks] */
  const uint32_t* equal; /* [blocks] */
  uint64_t* ties;        /* in/out [1]: ties still to be kept */
  uint32_t* keep_equal;  /* out [blocks]: how many of its ties, its first ones, a block keeps */
  uint64_t* starts;      /* out [blocks + 1], starts[0] = 0 */
} tf_cuda_place_job;
TF_CUDA_EXPORT int tf_cuda_place(tf_cuda_queue* queue, const tf_cuda_place_job* job, TF_CUDA_ERROR);

/* Third step: writes the kept entries. Any of the outputs may be null. */
typedef struct tf_cuda_emit_job {
  int32_t dtype;
  uint32_t threshold;
  uint64_t elements;
  const void* merged;         /* [elements] or null */
  const void* task;           /* [elements] */
  const uint32_t* keep_equal; /* [blocks] */
  const uint64_t* starts;     /* [blocks + 1] */
  void* values;               /* out [starts[blocks]] items of dtype: the task's own bits */
  uint16_t* positions;        /* out [starts[blocks]]: positions inside the block, ascending */
  uint64_t* bits; /* out [blocks × TF_CUDA_BLOCK / 64]: bit i of a block's words, LSB first; spare bits 0 */
} tf_cuda_emit_job;
TF_CUDA_EXPORT int tf_cuda_emit(tf_cuda_queue* queue, const tf_cuda_emit_job* job, TF_CUDA_ERROR);

typedef enum tf_cuda_index { TF_CUDA_INDEX_U16 = 0, TF_CUDA_INDEX_BITMAP = 1 } tf_cuda_index;

/* A stored delta (docs/FORMAT.md, "Delta files"). kept 0: nothing, and the pointers may be null. */
typedef struct tf_cuda_delta {
  const void*
      starts; /* [blocks + 1] of start_bytes each; bounded by kept when read, so a lie cannot lead outside */
  const void*
      index;    /* u16 [kept], or the bitmap: ceil(elements / 8) bytes, each block's bits from its own byte */
  void* values; /* [kept] items */
  uint64_t kept;
  uint32_t start_bytes; /* 4 or 8 */
  int32_t index_code;   /* tf_cuda_index */
} tf_cuda_delta;

/* dense[position] = value for every entry, in place. */
typedef struct tf_cuda_scatter_job {
  void* dense; /* in/out [elements] items */
  uint64_t elements;
  uint32_t item_bytes; /* 1, 2, 4 or 8 */
  tf_cuda_delta delta;
  uint64_t* refused; /* in/out [1]: entries behind the tensor's end, or that do not fit their block, are left
                        out and counted here */
} tf_cuda_scatter_job;
TF_CUDA_EXPORT int tf_cuda_scatter(tf_cuda_queue* queue, const tf_cuda_scatter_job* job, TF_CUDA_ERROR);

/* In-place switch between tasks. Entering a delta exchanges dense[position] with values[i], so that `values`
 * holds θ*'s items meanwhile; leaving it exchanges them back. `leave` is done before `enter`, block by block.
 */
typedef struct tf_cuda_swap_tensor {
  void* dense; /* in/out [elements] items */
  uint64_t elements;
  uint32_t item_bytes;
  uint32_t reserved;
  uint64_t first_block; /* blocks of all tensors before this one in the list */
  tf_cuda_delta leave;
  tf_cuda_delta enter;
} tf_cuda_swap_tensor;
typedef struct tf_cuda_swap_job {
  const tf_cuda_swap_tensor* tensors; /* device [tensor_count] */
  uint32_t tensor_count;
  uint64_t blocks;   /* of all tensors */
  uint64_t* refused; /* in/out [1] */
} tf_cuda_swap_job;
TF_CUDA_EXPORT int tf_cuda_swap(tf_cuda_queue* queue, const tf_cuda_swap_job* job, TF_CUDA_ERROR);

/* to[i] = round(from[i]) between any two dtypes; same dtype: NaN become the canonical one. */
typedef struct tf_cuda_convert_job {
  int32_t from_dtype;
  int32_t to_dtype;
  uint64_t elements;
  const void* from;
  void* to;
  uint64_t* inexact; /* in/out [1]: values that changed (NaN to NaN does not count); null: not counted */
} tf_cuda_convert_job;
TF_CUDA_EXPORT int tf_cuda_convert(tf_cuda_queue* queue, const tf_cuda_convert_job* job, TF_CUDA_ERROR);

/* XXH3-128 (seed 0), in canonical form, of each TF_CUDA_LEAF bytes; the last leaf may be shorter. */
typedef struct tf_cuda_digest_job {
  const void* bytes; /* [length] */
  uint64_t length;
  uint8_t* digests; /* out [ceil(length / TF_CUDA_LEAF) × 16] */
} tf_cuda_digest_job;
TF_CUDA_EXPORT int tf_cuda_digest(tf_cuda_queue* queue, const tf_cuda_digest_job* job, TF_CUDA_ERROR);

#define TF_CUDA_KERNEL_FUNCTIONS(X) \
  X(merge) X(count) X(rank) X(place) X(emit) X(scatter) X(swap) X(convert) X(digest)

#ifdef __cplusplus
}
#endif
