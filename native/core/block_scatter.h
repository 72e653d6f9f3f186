#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace taskfold {

/// A delta's entries are grouped by blocks of this many elements, so that a position inside a block fits in
/// 16 bits.
inline constexpr uint64_t kBlockElements = 65536;

/// A delta in u16 block code and the dense tensor that it patches. Nothing is owned; everything lives on one
/// side, host or device. Compiled for both: C++17, no library calls.
//
///   Item   unsigned integer with the size of one element: the values' bits are copied, never read as numbers
///   Start  uint32_t or uint64_t, as stored
template <typename Item, typename Start>
struct BlockScatter {
  Item* dense;            // in/out [elements]
  uint64_t elements;      //
  const Start* starts;    // in [blocks + 1]: entries of block b are starts[b] … starts[b + 1] − 1
  const uint16_t* index;  // in [starts[blocks]]: position inside the block, ascending
  const Item* value;      // in [starts[blocks]]: what to store there
};

/// Number of blocks that cover `elements`.
TF_HD constexpr uint64_t BlockCount(uint64_t elements) {
  return elements / kBlockElements + (elements % kBlockElements != 0 ? 1 : 0);
}

/// Stores one block's entries: lane l of `lanes` takes entries l, l + lanes, …, so that neighbouring lanes
/// read neighbouring entries. Lanes may run in any order or at once, because positions inside a block differ.
/// The caller has checked `starts`; an entry behind the tensor's end is left out. Returns the number of such
/// entries.
template <typename Item, typename Start>
TF_HD inline uint64_t ScatterLane(const BlockScatter<Item, Start>& job, uint64_t block, uint32_t lane,
                                  uint32_t lanes) {
  const uint64_t first = block * kBlockElements;
  const uint64_t left = job.elements - first;
  const uint64_t end = job.starts[block + 1];
  uint64_t refused = 0;
  for (uint64_t entry = job.starts[block] + static_cast<uint64_t>(lane); entry < end; entry += lanes) {
    const uint16_t position = job.index[entry];
    if (position < left) {
      job.dense[first + position] = job.value[entry];
    } else {
      ++refused;
    }
  }
  return refused;
}

}  // namespace taskfold
