#pragma once
#include <vector>

#include "device/device_set.h"
#include "ops/delta_writer.h"
#include "ops/emit_delta.h"

namespace taskfold {

/// Marks tensors, and gathers their values, on GPUs: the same bytes, ties and errors as the CPU. Holds its
/// lanes from the first tensor to the last.
class DeviceEmitter {
 public:
  DeviceEmitter(DeviceSet& devices, const std::vector<EmitTensor>& tensors, const EmitOptions& options,
                RunControl& control);

  /// Values, marks and block starts (starts holds the first 0) go to the stores.
  /// Spends `ties` in order.
  void Emit(const EmitTensor& tensor, uint64_t* ties, ValueStore& values, MarkStore& marks,
            std::vector<uint64_t>& starts);

 private:
  struct Layout;
  class Relay;
  struct Target;
  void EmitChunk(const EmitTensor& tensor, uint64_t piece, uint64_t chunk_elements, Lane& lane, Relay& relay,
                 Target& target);
  void Explain(const EmitTensor& tensor, uint64_t first_block, size_t blocks);

  DeviceSet& devices_;
  const EmitOptions& options_;
  RunControl& control_;
  uint64_t slot_bytes_ = 0;
  LaneLease lanes_;
};

}  // namespace taskfold
