#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/run_control.h"
#include "ops/emit_delta.h"
#include "ops/scratch.h"

namespace taskfold {

/// A stored delta as its reader found it: nothing of it is trusted.
struct DeltaRegions {
  uint64_t kept = 0;
  IndexCode index = IndexCode::kU16;
  Region blocks, index_bytes, value;
};

struct ScatterTensor {
  std::string name;
  uint64_t elements = 0;
  Dtype dtype = Dtype::kF32;
  Region merged;
  std::optional<DeltaRegions> delta;
  Region out;
};

/// Decodes one tensor's delta block by block. PACK_INVALID with the tensor's name for whatever contradicts
/// the format.
class DeltaDecoder {
 public:
  /// Reads and checks the block starts.
  DeltaDecoder(const std::string& name, uint64_t elements, Dtype dtype, const DeltaRegions& delta);
  /// Overwrites the kept positions of one block: dst holds its `n` elements. Uses scratch slots slot … slot
  /// + 1.
  void Apply(uint64_t block, size_t n, void* dst, Scratch& scratch, size_t slot) const;
  /// The kept positions of one block as marks (⌈n/64⌉ words).
  void Marks(uint64_t block, size_t n, uint64_t* bits, Scratch& scratch, size_t slot) const;
  /// Index bytes of `blocks` blocks in a row, read to `slot`, checked and refused as Apply does: bitmaps of
  /// all of them, or the positions of their entries.
  const uint8_t* CheckedIndex(uint64_t first_block, uint64_t blocks, Scratch& scratch, size_t slot) const;
  /// Where each block's entries start, and the end of the last: checked.
  const std::vector<uint64_t>& starts() const { return starts_; }
  const DeltaRegions& delta() const { return delta_; }

 private:
  [[noreturn]] void Refuse(uint64_t block, const std::string& why) const;
  const uint64_t* BitmapOf(uint64_t block, size_t n, Scratch& scratch, size_t slot) const;
  /// Refuses marks behind the block's `n` elements, and more or fewer than its entries.
  void CheckBitmap(uint64_t block, size_t n, const uint64_t* bits) const;
  void CheckPositions(uint64_t block, size_t n, const uint16_t* positions) const;

  const std::string& name_;
  const DeltaRegions& delta_;
  uint64_t elements_;
  size_t item_;
  std::vector<uint64_t> starts_;
};

/// out = merged with the delta's positions overwritten; without delta a copy. In parallel over blocks.
void ScatterTensors(const std::vector<ScatterTensor>& tensors, RunControl& control);

}  // namespace taskfold
