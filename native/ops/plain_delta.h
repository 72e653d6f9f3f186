#pragma once
#include <cstdint>
#include <vector>

#include "core/run_control.h"
#include "ops/delta_decoder.h"

namespace taskfold {

/// A delta of codec exact in the codes that GPUs have kernels for (plain values; u16 positions, or a bitmap
/// where everything is kept), in memory that it owns.
struct PlainDelta {
  std::vector<uint8_t> value, index_bytes, blocks;
};

/// Index code of what Decode makes of a delta.
IndexCode PlainIndex(const DeltaRegions& delta);

/// Decodes and checks a delta whose DeltaDecoder is Exact(). PACK_INVALID as that.
PlainDelta DecodePlain(const std::string& name, uint64_t elements, Dtype dtype, const DeltaRegions& delta,
                       RunControl& control);

}  // namespace taskfold
