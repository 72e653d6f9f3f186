/* A plug-in that the loader must refuse: of another interface version, or without most of its functions. */
#include "taskfold_cuda.h"

int tf_cuda_abi(void) {
#if defined(TASKFOLD_OTHER_VERSION)
  return TF_CUDA_ABI + 1;
#else
  return TF_CUDA_ABI;
#endif
}
