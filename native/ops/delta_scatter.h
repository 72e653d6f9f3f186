#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/run_control.h"
#include "ops/coded_task.h"
#include "ops/emit_delta.h"
#include "ops/remainder.h"
#include "ops/scratch.h"

namespace taskfold {

/// A stored delta as its reader found it: nothing of it is trusted.
struct DeltaRegions {
  uint64_t kept = 0;
  IndexCode index = IndexCode::kU16;
  Region blocks, index_bytes, value;
};

/// A tensor of a stream codec.
struct CodedRemainder {
  std::shared_ptr<const CodedTask> task;
  size_t tensor = 0;
};

struct ScatterTensor {
  std::string name;
  uint64_t elements = 0;
  Dtype dtype = Dtype::kF32;
  Region merged;
  /// At most one of the two; neither: a plain copy.
  std::optional<DeltaRegions> delta;
  std::optional<CodedRemainder> coded;
  Region out;
};

/// Decodes one tensor's delta block by block. PACK_INVALID with the tensor's name for whatever contradicts
/// the format.
class DeltaDecoder final : public Remainder {
 public:
  /// Reads and checks the block starts.
  DeltaDecoder(const std::string& name, uint64_t elements, Dtype dtype, const DeltaRegions& delta);
  void Apply(uint64_t block, size_t n, void* dst, Scratch& scratch, size_t slot) const override;
  void Marks(uint64_t block, size_t n, uint64_t* bits, Scratch& scratch, size_t slot) const override;
  bool Exact() const override { return true; }
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

/// Opens what a tensor has, null when it has neither; the result refers to the arguments.
std::unique_ptr<Remainder> OpenRemainder(const std::string& name, uint64_t elements, Dtype dtype,
                                         const std::optional<DeltaRegions>& delta,
                                         const std::optional<CodedRemainder>& coded);

/// out = merged with the task's remainder applied; without one a copy. In parallel over blocks.
void ScatterTensors(const std::vector<ScatterTensor>& tensors, RunControl& control);

}  // namespace taskfold
