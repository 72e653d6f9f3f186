#pragma once
#include <cstddef>
#include <cstdint>

#include "ops/scratch.h"

namespace taskfold {

/// A task's remainder of one tensor, as its codec stores it: turns blocks of θ* into the task's. Every reader
/// of packs (unfold, compare, models in memory) sees remainders through this. Nothing stored is trusted:
/// PACK_INVALID with the tensor's name for whatever contradicts docs/FORMAT.md. Blocks are independent; any
/// thread may take any block, with its own scratch.
class Remainder {
 public:
  /// Scratch slots that Apply and Marks use: slot … slot + kSlots − 1.
  static constexpr size_t kSlots = 4;

  virtual ~Remainder() = default;
  /// dst holds θ*'s n elements of a block of kBlockElements (the last one shorter); afterwards the task's.
  virtual void Apply(uint64_t block, size_t n, void* dst, Scratch& scratch, size_t slot) const = 0;
  /// The positions of a block that the remainder may change, as bits (⌈n/64⌉ words, LSB first).
  virtual void Marks(uint64_t block, size_t n, uint64_t* bits, Scratch& scratch, size_t slot) const = 0;
  /// True when marked items are θt's own bits (codec exact).
  virtual bool Exact() const { return false; }
};

}  // namespace taskfold
