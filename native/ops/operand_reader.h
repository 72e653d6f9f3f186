#pragma once
#include <cstdint>
#include <string>

#include "backend/backend.h"
#include "core/region.h"
#include "ops/scratch.h"

namespace taskfold {

/// Throws INVALID_ARGUMENT unless the region's length is elements × the dtype's size.
void CheckOperandLength(const std::string& tensor, const char* operand, const Region& region,
                        uint64_t elements, Dtype dtype);

/// Throws INVALID_ARGUMENT when the file behind a target was opened for reading only.
void CheckWritable(const std::string& tensor, const char* operand, const File* file);

/// Bytes [offset, offset + length) of a region, aligned for any item: memory as it is, or a copy in
/// `scratch`.
const uint8_t* ReadAligned(const Region& region, uint64_t offset, size_t length, uint8_t* scratch);

/// Elements [first, first + n) of an operand in the storage dtype, converted when its own differs (n ≤
/// TF_MAX_PIECE). Uses the scratch slots slot … slot + 2.
const void* ReadElements(const TfBackend& backend, const Operand& operand, Dtype storage, uint64_t first,
                         size_t n, Scratch& scratch, size_t slot);

/// Elements [first, first + n) of an operand as f32. Uses the scratch slots slot and slot + 1.
const float* ReadAsFloat(const TfBackend& backend, const Operand& operand, uint64_t first, size_t n,
                         Scratch& scratch, size_t slot);

}  // namespace taskfold
