/* Linear algebra on device memory: the passes of a randomized SVD and batched thin QR. Unlike the elementwise
 * kernels these do not give the CPU's bits; each function says how far it may be off. The same library and
 * shapes give the same bits every time: nothing is added up in an order that depends on timing or on how many
 * multiprocessors there are.
 *
 * Sketches lie as native/ops has them: k vectors of length n are [k × n] row-major. Pointers and errors as in
 * taskfold_cuda_kernels.h. */
#pragma once

#include "taskfold_cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Most columns of a sketch. */
#define TF_CUDA_MAX_SKETCH 1024

/* Rows of a dense matrix, or of a difference of two, times a sketch: D = scale · (matrix − minus), subtracted
 * in f32, [rows × columns] row-major. Products on tensor cores, sums in f32 and, across parts of the sum, in
 * f64.
 * Error of an element of y: at most 2^-20 · Σ_c |x·D|, and the rounding of sums in f32. */
typedef struct tf_cuda_sketch_job {
  int32_t dtype;
  int32_t minus_dtype;
  uint64_t rows;    /* of this piece, below 2^31; 0: nothing to do */
  uint64_t columns; /* 1 … 2^31 − 1 */
  uint32_t k;       /* columns of the sketch, 1 … TF_CUDA_MAX_SKETCH */
  float scale;
  const void* matrix; /* [rows × columns] */
  const void* minus;  /* [rows × columns] or null */
  const float* x;     /* [k × columns] */
  /* y[j · y_stride + i] = Σ_c x[j · columns + c] · D[i, c], i < rows, j < k. Either may be null; aligned to
   * their items only, so that they may be moved to the piece's first row. */
  float* y;
  double* wide_y;
  uint64_t y_stride;
  /* Null: not needed. In/out [1]: adds Σ (D / scale)², in f64. */
  double* squared_norm;
  /* Null: not looked for. In/out [1]: set to 1 when an element of D / scale is NaN or infinite. */
  uint64_t* not_finite;
} tf_cuda_sketch_job;
TF_CUDA_EXPORT int tf_cuda_sketch_forward(tf_cuda_queue* queue, const tf_cuda_sketch_job* job, TF_CUDA_ERROR);

/* z[j · columns + c] += Σ_i y[j · y_stride + i] · D[i, c]. From y: as sketch_forward, parts of the sum added
 * to z in f64. From wide_y: products and sums in f64. */
typedef struct tf_cuda_backward_job {
  int32_t dtype;
  int32_t minus_dtype;
  uint64_t rows;
  uint64_t columns;
  uint32_t k;
  float scale;
  const void* matrix;
  const void* minus;
  /* One of the two; already moved to the piece's first row, aligned to their items only. */
  const float* y;
  const double* wide_y;
  uint64_t y_stride;
  double* z; /* in/out [k × columns] */
} tf_cuda_backward_job;
TF_CUDA_EXPORT int tf_cuda_sketch_backward(tf_cuda_queue* queue, const tf_cuda_backward_job* job,
                                           TF_CUDA_ERROR);

/* One matrix of a batch: S [k × n] row-major, f64 (k vectors of length n). */
typedef struct tf_cuda_columns {
  double* s;     /* [k × n] */
  double* r;     /* [k × k] row-major */
  float* narrow; /* [k × n] or null: solve writes S here as well, rounded to f32 */
  uint64_t n;
  uint32_t k; /* 1 … TF_CUDA_MAX_SKETCH */
  uint32_t reserved;
} tf_cuda_columns;
/* `matrices` is read before a call returns. Matrices of a batch do not overlap. */
typedef struct tf_cuda_columns_batch {
  const tf_cuda_columns* matrices; /* host [count] */
  uint32_t count;
  uint32_t reserved;
  /* For cholesky. */
  double least;
  uint32_t* status; /* [count] */
} tf_cuda_columns_batch;

/* r = S·Sᵀ, all of it; products and sums in f64. */
TF_CUDA_EXPORT int tf_cuda_gram(tf_cuda_queue* queue, const tf_cuda_columns_batch* batch, TF_CUDA_ERROR);
/* r, a Gram matrix of which the upper triangle is read, becomes the upper R with RᵀR = r, the rest zeros;
 * columns are scaled to unit norm meanwhile, so that large and small ones beside each other do no harm.
 * status[i]: 0, or 1 where a squared norm is not above 1e-280 or a scaled pivot not above `least` (r is then
 * spoilt). A pivot is the squared distance of a column from the span of those before it, so a small one
 * proves dependence, but a large one does not disprove it: who needs that looks at R's condition. One block a
 * matrix, so many matrices at once are as quick as one; k³/3 products. */
TF_CUDA_EXPORT int tf_cuda_cholesky(tf_cuda_queue* queue, const tf_cuda_columns_batch* batch, TF_CUDA_ERROR);
/* S ← R⁻ᵀ·S, in f64: the columns become S·R⁻¹ of the matrix that has them as columns. */
TF_CUDA_EXPORT int tf_cuda_solve(tf_cuda_queue* queue, const tf_cuda_columns_batch* batch, TF_CUDA_ERROR);

/* out = M·S [rows × n], products and sums in f64, rounded to f32. Row i, column c at out[i · stride + c], or
 * transposed at out[c · stride + i]. */
typedef struct tf_cuda_product {
  const double* m; /* [rows × k] */
  const double* s; /* [k × n] */
  float* out;
  uint64_t n;
  uint64_t stride;
  uint32_t rows; /* 0: nothing to do */
  uint32_t k;    /* 1 … TF_CUDA_MAX_SKETCH */
  uint32_t transposed;
  uint32_t reserved;
} tf_cuda_product;
typedef struct tf_cuda_product_batch {
  const tf_cuda_product* products; /* host [count] */
  uint32_t count;
  uint32_t reserved;
} tf_cuda_product_batch;
TF_CUDA_EXPORT int tf_cuda_multiply(tf_cuda_queue* queue, const tf_cuda_product_batch* batch, TF_CUDA_ERROR);

#define TF_CUDA_LINALG_FUNCTIONS(X) \
  X(sketch_forward) X(sketch_backward) X(gram) X(cholesky) X(solve) X(multiply)

#ifdef __cplusplus
}
#endif
