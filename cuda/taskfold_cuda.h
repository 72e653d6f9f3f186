/* The plain C interface of taskfold_cuda.so, the only thing that the addon knows of CUDA. No exception, no
 * C++ type and no CUDA type crosses it. This file: devices, memory, queues. The kernels are in
 * taskfold_cuda_kernels.h (elementwise, selection, deltas) and taskfold_cuda_linalg.h.
 *
 * Every function that can fail returns a tf_cuda_status and, unless it is TF_CUDA_OK, writes a
 * zero-terminated message of at most error_bytes bytes to `error`. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes with every change of these files that an older addon could not live with. */
#define TF_CUDA_ABI 2

#define TF_CUDA_EXPORT __attribute__((visibility("default")))
/* Where a function puts its message. */
#define TF_CUDA_ERROR char *error, size_t error_bytes

typedef enum tf_cuda_status {
  TF_CUDA_OK = 0,
  TF_CUDA_INVALID = 1,       /* an argument contradicts these files */
  TF_CUDA_OUT_OF_MEMORY = 2, /* the device, or pinned host memory, has not enough free */
  TF_CUDA_FAILED = 3,        /* the driver or the device reported an error; the device is still usable */
  TF_CUDA_DEVICE_LOST =
      4,                /* the device fell off or its context is spoilt: nothing works until a new process */
  TF_CUDA_NO_DRIVER = 5 /* the driver is too old, not permitted or not working */
} tf_cuda_status;

typedef struct tf_cuda_device {
  char name[256];
  char bus_id[32]; /* "0000:65:00.0" */
  uint64_t memory_bytes;
  /* Compute capability, 9 and 0 for sm_90. */
  int32_t major;
  int32_t minor;
  int32_t multiprocessors;
} tf_cuda_device;

/* Versions as 1000 · major + 10 · minor: of the driver's newest CUDA, and of the runtime inside the library.
 * driver 0: no driver. Never fails. */
typedef struct tf_cuda_versions {
  int32_t driver;
  int32_t runtime;
} tf_cuda_versions;

/* One stream of work on one device, with the working memory that its kernels need. Calls on a queue return
 * at once and run in their order; tf_cuda_queue_wait waits for all of them and reports what went wrong since
 * the last wait. A queue is used by one thread at a time; different queues run side by side. */
typedef struct tf_cuda_queue tf_cuda_queue;

/* TF_CUDA_ABI as compiled into the library. */
TF_CUDA_EXPORT int tf_cuda_abi(void);
TF_CUDA_EXPORT int tf_cuda_get_versions(tf_cuda_versions* versions, TF_CUDA_ERROR);
/* Writes the number of usable devices, which may be 0. */
TF_CUDA_EXPORT int tf_cuda_device_count(int32_t* count, TF_CUDA_ERROR);
/* Describes device 0 … count − 1. Does not start it. */
TF_CUDA_EXPORT int tf_cuda_device_info(int32_t device, tf_cuda_device* info, TF_CUDA_ERROR);
/* Free and total memory of a device at this moment; starts the device. */
TF_CUDA_EXPORT int tf_cuda_device_memory(int32_t device, uint64_t* free_bytes, uint64_t* total_bytes,
                                         TF_CUDA_ERROR);

/* Device memory, aligned to 256 bytes. 0 bytes: *memory becomes null. Null may be freed. */
TF_CUDA_EXPORT int tf_cuda_allocate(int32_t device, uint64_t bytes, void** memory, TF_CUDA_ERROR);
TF_CUDA_EXPORT int tf_cuda_free(int32_t device, void* memory, TF_CUDA_ERROR);
/* Host memory that devices copy from and to while the CPU does something else. */
TF_CUDA_EXPORT int tf_cuda_allocate_pinned(uint64_t bytes, void** memory, TF_CUDA_ERROR);
TF_CUDA_EXPORT int tf_cuda_free_pinned(void* memory, TF_CUDA_ERROR);

/* A handle with which another process maps an allocation of tf_cuda_allocate: cudaIpcMemHandle_t's bytes. */
#define TF_CUDA_IPC_BYTES 64
TF_CUDA_EXPORT int tf_cuda_ipc_export(int32_t device, void* memory, uint8_t handle[TF_CUDA_IPC_BYTES],
                                      TF_CUDA_ERROR);
/* Not in the process that exported it. */
TF_CUDA_EXPORT int tf_cuda_ipc_open(int32_t device, const uint8_t handle[TF_CUDA_IPC_BYTES], void** memory,
                                    TF_CUDA_ERROR);
TF_CUDA_EXPORT int tf_cuda_ipc_close(int32_t device, void* memory, TF_CUDA_ERROR);

TF_CUDA_EXPORT int tf_cuda_queue_create(int32_t device, tf_cuda_queue** queue, TF_CUDA_ERROR);
/* Waits for the queue first. Null may be destroyed. */
TF_CUDA_EXPORT int tf_cuda_queue_destroy(tf_cuda_queue* queue, TF_CUDA_ERROR);
TF_CUDA_EXPORT int tf_cuda_queue_wait(tf_cuda_queue* queue, TF_CUDA_ERROR);
/* Its cudaStream_t, for other libraries and for timing. */
TF_CUDA_EXPORT void* tf_cuda_queue_stream(const tf_cuda_queue* queue);
/* Copies between the queue's device and host memory, in any direction. Pageable host memory works, but makes
 * the call wait. */
TF_CUDA_EXPORT int tf_cuda_copy(tf_cuda_queue* queue, void* to, const void* from, uint64_t bytes,
                                TF_CUDA_ERROR);
TF_CUDA_EXPORT int tf_cuda_fill(tf_cuda_queue* queue, void* to, uint8_t byte, uint64_t bytes, TF_CUDA_ERROR);

/* Every function of this file, for loaders: X(name without prefix). */
/* clang-format off */
#define TF_CUDA_BASE_FUNCTIONS(X)                                                                     \
  X(abi) X(get_versions) X(device_count) X(device_info) X(device_memory) X(allocate) X(free)           \
  X(allocate_pinned) X(free_pinned) X(ipc_export) X(ipc_open) X(ipc_close) X(queue_create)             \
  X(queue_destroy) X(queue_wait) X(queue_stream) X(copy) X(fill)
/* clang-format on */

#ifdef __cplusplus
}
#endif
