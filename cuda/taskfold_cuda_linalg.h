/* Linear algebra on device memory: the passes of a randomized SVD and batched thin QR. Unlike the elementwise
 * kernels these do not give the CPU's bits; each function says how far it may be off. The same device,
 * library and shape give the same bits every time: nothing is added up in an order that depends on timing.
 *
 * Sketches lie as native/ops has them: k vectors of length n are [k × n] row-major. Pointers and errors as in
 * taskfold_cuda_kernels.h. */
#pragma once

#include "taskfold_cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows of a dense matrix, or of a difference of two, times a sketch: D = scale · (matrix − minus), subtracted
 * in f32, [rows × columns] row-major. Products on tensor cores (TF32, three products a term), sums in f32. */
typedef struct tf_cuda_sketch_job {
  int32_t dtype;
  int32_t minus_dtype;
  uint64_t rows; /* of this piece */
  uint64_t columns;
  uint32_t k; /* columns of the sketch, 1 … TF_CUDA_MAX_SKETCH */
  float scale;
  const void* matrix; /* [rows × columns] */
  const void* minus;  /* [rows × columns] or null */
  /* Forward: y[j · y_stride + i] = Σ_c x[j · columns + c] · D[i, c], i < rows, j < k. */
  const float* x; /* [k × columns] */
  float* y;       /* out; already moved to the piece's first row */
  uint64_t y_stride;
  /* Null: not needed. In/out [1]: adds Σ (D / scale)². */
  double* squared_norm;
  /* In/out [1]: set to 1 when an element of D / scale is NaN or infinite. */
  uint64_t* not_finite;
} tf_cuda_sketch_job;
#define TF_CUDA_MAX_SKETCH 1024
/* |error of y| ≤ 2^-20 · Σ_c |x·D| + f32 rounding of the sum. */
TF_CUDA_EXPORT int tf_cuda_sketch_forward(tf_cuda_queue* queue, const tf_cuda_sketch_job* job, TF_CUDA_ERROR);

/* Backward: z[j · columns + c] += Σ_i y[j · y_stride + i] · D[i, c]. Sums of one piece in f32, pieces in f64.
 */
typedef struct tf_cuda_backward_job {
  int32_t dtype;
  int32_t minus_dtype;
  uint64_t rows;
  uint64_t columns;
  uint32_t k;
  float scale;
  const void* matrix;
  const void* minus;
  const float* y; /* already moved to the piece's first row */
  uint64_t y_stride;
  double* z; /* in/out [k × columns] */
} tf_cuda_backward_job;
TF_CUDA_EXPORT int tf_cuda_sketch_backward(tf_cuda_queue* queue, const tf_cuda_backward_job* job,
                                           TF_CUDA_ERROR);

/* One matrix of a batch: S [k × n] row-major, f64 (k vectors of length n). */
typedef struct tf_cuda_columns {
  double* s; /* [k × n] */
  double* r; /* [k × k] row-major */
  uint64_t n;
  uint32_t k; /* 1 … TF_CUDA_MAX_SKETCH */
  uint32_t reserved;
} tf_cuda_columns;

/* r = S·Sᵀ, all of it, sums in f64. */
TF_CUDA_EXPORT int tf_cuda_gram(tf_cuda_queue* queue, const tf_cuda_columns* batch /* host [count] */,
                                uint32_t count, TF_CUDA_ERROR);
/* r, a Gram matrix, becomes the upper R with RᵀR = r, the rest zeros; columns are scaled to unit norm
 * meanwhile. status[i] (device [count]): 0, or 1 where a scaled pivot is not above `least` (r is then
 * spoilt). */
TF_CUDA_EXPORT int tf_cuda_cholesky(tf_cuda_queue* queue, const tf_cuda_columns* batch, uint32_t count,
                                    double least, uint32_t* status, TF_CUDA_ERROR);
/* S ← R⁻ᵀ·S: the columns become S·R⁻¹ of the matrix that has them as columns. */
TF_CUDA_EXPORT int tf_cuda_solve(tf_cuda_queue* queue, const tf_cuda_columns* batch, uint32_t count,
                                 TF_CUDA_ERROR);

#define TF_CUDA_LINALG_FUNCTIONS(X) X(sketch_forward) X(sketch_backward) X(gram) X(cholesky) X(solve)

#ifdef __cplusplus
}
#endif
