#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/region.h"
#include "core/run_control.h"
#include "ops/delta_scatter.h"

// Models that stay in the host's memory and become another task's in place. A task is held as its entries
// (positions and bits); entering it exchanges these with θ*'s in place, so that the same exchange leaves it
// again and θ* needs no second copy.

namespace taskfold {

/// Where a tensor's entries go, grouped by blocks of kBlockElements. All memory, aligned for its items.
struct EntryArrays {
  /// uint64_t [BlockCount(elements) + 1]: where each block's entries start; the last is their number.
  Region starts;
  /// uint16_t [entries], positions inside the block, ascending.
  Region positions;
  /// [entries] items of the tensor's dtype.
  Region values;
};

/// A tensor's stored remainder, and where its entries go.
struct CollectTensor {
  std::string name;
  uint64_t elements = 0;
  Dtype dtype = Dtype::kF32;
  /// θ* as stored; read only by codecs whose values are added to it.
  Region merged;
  std::optional<DeltaRegions> delta;
  std::optional<CodedRemainder> coded;
  EntryArrays entries;
};

/// Fills `starts`: how many entries each remainder has is not known before it is decoded.
void CountEntries(const std::vector<CollectTensor>& tensors, RunControl& control);

/// Fills `positions` and `values` where `starts` say. PACK_INVALID when the remainder has other entries.
void CollectEntries(const std::vector<CollectTensor>& tensors, RunControl& control);

/// What one task changes of a tensor. Both parts are optional; they do not overlap.
struct ExchangeLayer {
  /// Elements that the entries are grouped over, from the tensor's first on; 0: no entries.
  uint64_t elements = 0;
  EntryArrays entries;
  /// Bytes that the task has whole, at byte `at`: exchanged as well.
  Region bytes;
  uint64_t at = 0;
};

/// A tensor in memory.
struct ExchangeTensor {
  std::string name;
  Region target;
  /// Bytes of one element: 1, 2, 4 or 8.
  size_t item_size = 1;
  /// Exchanged one after the other: first what leaves, then what enters.
  std::vector<ExchangeLayer> layers;
};

/// Exchanges in place, in parallel over blocks, all layers of a block while it is in the cache. Everything
/// but the arrays' contents is checked before anything changes. Cancelling has no effect: half an exchange is
/// no model. INTERNAL when starts or positions are not what CollectEntries wrote; then memory holds a
/// mixture.
void ExchangeEntries(const std::vector<ExchangeTensor>& tensors, RunControl& control);

}  // namespace taskfold
