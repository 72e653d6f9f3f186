#pragma once

/// Before a loop whose arrays must stay in registers. Other compilers than nvcc don't know the pragma.
#ifdef __CUDACC__
#define TF_UNROLL _Pragma("unroll")
#else
#define TF_UNROLL
#endif
