#pragma once
#include <string>
#include <vector>

#include "core/region.h"
#include "ops/block_streams.h"
#include "ops/emit_delta.h"
#include "ops/remainder.h"
#include "ops/scratch.h"

namespace taskfold {

/// A stored delta as its reader found it: nothing of it is trusted.
struct DeltaRegions {
  uint64_t kept = 0;
  IndexCode index = IndexCode::kU16;
  /// Of index kAll there are neither blocks nor index_bytes.
  Region blocks, index_bytes, value;
  ValueCode values = ValueCode::kPlain;
  /// Of kSign: finite and not negative.
  float scale = 0;
  /// Of kInt4.
  Region scales{};
  /// Whether GPUs have kernels for these codes.
  bool FitsDevice() const {
    return values == ValueCode::kPlain && (index == IndexCode::kU16 || index == IndexCode::kBitmap);
  }
};

/// Decodes one tensor's delta block by block. PACK_INVALID with the tensor's name for whatever contradicts
/// the format.
class DeltaDecoder final : public Remainder {
 public:
  /// Reads and checks the block starts.
  DeltaDecoder(const std::string& name, uint64_t elements, Dtype dtype, const DeltaRegions& delta);
  void Apply(uint64_t block, size_t n, void* dst, Scratch& scratch, size_t slot) const override;
  void Marks(uint64_t block, size_t n, uint64_t* bits, Scratch& scratch, size_t slot) const override;
  bool Exact() const override {
    return delta_.values == ValueCode::kPlain || delta_.values == ValueCode::kCoded;
  }
  /// The positions of a block's entries, ascending and inside the block: in memory of the scratch, or of the
  /// delta. Uses the slots slot … slot + 2.
  const uint16_t* Positions(uint64_t block, size_t n, Scratch& scratch, size_t slot) const;
  /// A block's items (codecs with Exact()), in memory of the scratch or of the delta. Uses slot and slot + 1.
  const uint8_t* Items(uint64_t block, Scratch& scratch, size_t slot) const;
  /// Index bytes of `blocks` blocks in a row (kU16 and kBitmap), read to `slot`, checked and refused as Apply
  /// does: bitmaps of all of them, or the positions of their entries.
  const uint8_t* CheckedIndex(uint64_t first_block, uint64_t blocks, Scratch& scratch, size_t slot) const;
  /// Where each block's entries start, and the end of the last: checked.
  const std::vector<uint64_t>& starts() const { return starts_; }
  const DeltaRegions& delta() const { return delta_; }

 private:
  [[noreturn]] void Refuse(const std::string& why) const;
  [[noreturn]] void Refuse(uint64_t block, const std::string& why) const;
  void ReadStarts();
  void OpenValues();
  size_t Count(uint64_t block) const { return static_cast<size_t>(starts_[block + 1] - starts_[block]); }
  /// û of a block's entries. Uses slot.
  void ReadAdded(uint64_t block, float* out, Scratch& scratch, size_t slot) const;
  const uint64_t* BitmapOf(uint64_t block, size_t n, Scratch& scratch, size_t slot) const;
  /// Refuses marks behind the block's `n` elements, and more or fewer than its entries.
  void CheckBitmap(uint64_t block, size_t n, const uint64_t* bits) const;
  void CheckPositions(uint64_t block, size_t n, const uint16_t* positions) const;

  const std::string& name_;
  const DeltaRegions& delta_;
  uint64_t elements_;
  Dtype dtype_;
  size_t item_;
  std::vector<uint64_t> starts_;
  /// Of kRice, and of kCoded with its table.
  BlockStreams rice_, coded_;
  std::vector<uint32_t> slots_;
};

}  // namespace taskfold
