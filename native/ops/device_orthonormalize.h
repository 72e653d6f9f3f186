#pragma once
#include <cstddef>
#include <vector>

#include "device/device_set.h"

namespace taskfold {

/// A sketch S [n × k] on a lane's device, columns contiguous, and where it goes rounded to f32 as well.
struct DeviceColumns {
  double* s;
  float* narrow;
  size_t n;
  size_t k;  ///< 1 … TF_CUDA_MAX_SKETCH, at most n
};

/// Orthonormalize (ops/orthonormalize.h) on a device: CholeskyQR2, of which R and its condition are looked at
/// here; Householder's reflections on the CPU where the columns are too nearly dependent. `r`: device memory
/// [k × k]. `status`: one item.
std::vector<double> Orthonormalize(Lane& lane, const DeviceColumns& columns, double* r, uint32_t* status,
                                   RunControl& control);

}  // namespace taskfold
