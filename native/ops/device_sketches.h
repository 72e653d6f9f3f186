#pragma once
#include <memory>

#include "ops/sketches.h"

namespace taskfold {

/// Sketches on a GPU of control.devices(), of which it leases a lane. The matrix goes there in blocks of
/// rows, once if it fits beside the sketches, else once a pass. Null, which means the CPU, when there are no
/// devices, and when the lane's memory or TF_CUDA_MAX_SKETCH is too small for the sketches.
//
/// Results differ from the CPU's by rounding. The same memory, plug-in and matrix give the same bits.
/// NON_FINITE as the CPU has it.
std::unique_ptr<Sketches> MakeDeviceSketches(const MatrixSource& source, size_t k, RunControl& control);

}  // namespace taskfold
