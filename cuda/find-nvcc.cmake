# Sets CMAKE_CUDA_COMPILER to the nvcc that CUDA_PATH, CUDA_HOME, PATH or /usr/local/cuda has, unless the caller named one.
# Before CMake looks itself, which knows the PATH only.
if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(TASKFOLD_NVCC nvcc HINTS $ENV{CUDA_PATH}/bin $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
  if(TASKFOLD_NVCC)
    set(CMAKE_CUDA_COMPILER "${TASKFOLD_NVCC}")
  endif()
endif()
