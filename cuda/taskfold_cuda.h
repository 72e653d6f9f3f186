/* The plain C interface of taskfold_cuda.so, the only thing that the addon knows of CUDA. No exception, no
 * C++ type and no CUDA type crosses it. Every function that can fail returns a tf_cuda_status and, unless it
 * is TF_CUDA_OK, writes a zero-terminated message of at most error_bytes bytes to `error`. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes with every change of this file that an older addon could not live with. */
#define TF_CUDA_ABI 1

#define TF_CUDA_EXPORT __attribute__((visibility("default")))

typedef enum tf_cuda_status {
  TF_CUDA_OK = 0,
  TF_CUDA_INVALID = 1,       /* an argument contradicts this file */
  TF_CUDA_OUT_OF_MEMORY = 2, /* the device has not enough free memory */
  TF_CUDA_FAILED = 3         /* the driver or the device reported an error */
} tf_cuda_status;

typedef struct tf_cuda_device {
  char name[256];
  uint64_t memory_bytes;
  /* Compute capability, 9 and 0 for sm_90. */
  int32_t major;
  int32_t minor;
  int32_t multiprocessors;
} tf_cuda_device;

/* A delta in u16 block code over blocks of 65 536 elements, and the tensor that it patches; all pointers are
 * to host memory, aligned to their items. */
typedef struct tf_cuda_scatter {
  void* dense;           /* in/out [elements] items */
  uint64_t elements;     /* 0: nothing to do */
  uint32_t item_bytes;   /* 1, 2 or 4 */
  uint32_t start_bytes;  /* 4 or 8: size of one item of `starts` */
  const void* starts;    /* in [ceil(elements / 65536) + 1]: first entry of each block, then their total */
  const uint16_t* index; /* in [kept]: position inside the block, strictly ascending in each block */
  const void* value;     /* in [kept] items: bits to store */
  uint64_t kept;         /* entries */
} tf_cuda_scatter;

/* TF_CUDA_ABI as compiled into the library. */
TF_CUDA_EXPORT int tf_cuda_abi(void);

/* Writes the number of usable devices, which may be 0. */
TF_CUDA_EXPORT int tf_cuda_device_count(int32_t* count, char* error, size_t error_bytes);

/* Describes device 0 … count − 1. */
TF_CUDA_EXPORT int tf_cuda_device_info(int32_t device, tf_cuda_device* info, char* error, size_t error_bytes);

/* dense[position] = value for every entry, on a device; the same bits as the CPU. `dense` is unchanged unless
 * the answer is TF_CUDA_OK. An entry behind the tensor's end gives TF_CUDA_INVALID. */
TF_CUDA_EXPORT int tf_cuda_delta_scatter(int32_t device, const tf_cuda_scatter* job, char* error,
                                         size_t error_bytes);

#ifdef __cplusplus
}
#endif
