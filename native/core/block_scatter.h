#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace taskfold {

/// A delta's entries are grouped by blocks of this many elements, so that a position inside a block fits in
/// 16 bits.
inline constexpr uint64_t kBlockElements = 65536;

/// Number of blocks that cover `elements`.
TF_HD constexpr uint64_t BlockCount(uint64_t elements) {
  return elements / kBlockElements + (elements % kBlockElements != 0 ? 1 : 0);
}

/// Elements of a block: 65 536, of the last one what is left. block < BlockCount(elements).
TF_HD constexpr uint32_t ElementsOfBlock(uint64_t elements, uint64_t block) {
  const uint64_t left = elements - block * kBlockElements;
  return static_cast<uint32_t>(left < kBlockElements ? left : kBlockElements);
}

/// One block's entries of a delta, entries begin … begin + count − 1.
struct BlockEntries {
  uint64_t begin;
  uint32_t count;
  /// Entries that the starts name or leave out against the rules; each rule that is broken counts at least 1.
  uint64_t refused;
};

/// What a delta's starts say of one block, cut to what can be true: a block's entries are inside the delta's
/// `kept`, and no more than the block has elements. For starts that nobody has checked.
//
///   starts  in [BlockCount(elements) + 1], uint32_t or uint64_t as stored: never falling, from 0 to `kept`
template <class Start>
TF_HD inline BlockEntries EntriesOfBlock(const Start* starts, uint64_t kept, uint64_t elements,
                                         uint64_t block) {
  const uint64_t from = starts[block];
  const uint64_t to = starts[block + 1];
  const uint64_t end = to < kept ? to : kept;
  const uint64_t begin = from < end ? from : end;
  const uint64_t most = ElementsOfBlock(elements, block);
  const uint64_t count = end - begin < most ? end - begin : most;
  uint64_t refused = end - begin - count;
  if (from > to) refused++;
  if (to > kept) refused++;
  // Entries of no block.
  if (block == 0) refused += from < kept ? from : kept;
  if (block + 1 == BlockCount(elements)) refused += kept - end;
  return {begin, static_cast<uint32_t>(count), refused};
}

}  // namespace taskfold
