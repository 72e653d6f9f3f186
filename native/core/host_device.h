#pragma once

/// Marks functions whose code serves the CPU and the GPU alike, so that device logic is tested without a GPU.
#ifdef __CUDACC__
#define TF_HD __host__ __device__
#else
#define TF_HD
#endif
