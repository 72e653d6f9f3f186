#include "ops/block_streams.h"

#include <algorithm>

#include "core/block_scatter.h"

namespace taskfold {

uint64_t BlockStreams::OffsetBytes(uint64_t elements) { return (BlockCount(elements) + 1) * Width(elements); }

std::vector<uint8_t> BlockStreams::Encode(uint64_t elements, const std::vector<uint64_t>& offsets) {
  const size_t width = Width(elements);
  std::vector<uint8_t> bytes(offsets.size() * width);
  for (size_t i = 0; i < offsets.size(); i++) memcpy(&bytes[i * width], &offsets[i], width);
  return bytes;
}

BlockStreams::BlockStreams(const Region& array, uint64_t elements, uint64_t front) : front_(front) {
  const size_t width = Width(elements);
  if (array.length() < OffsetBytes(elements) || array.length() < front) return;
  std::vector<uint64_t> offsets(BlockCount(elements) + 1);
  if (width == 8) {
    array.ReadTo(0, offsets.size() * 8, offsets.data());
  } else {
    std::vector<uint32_t> narrow(offsets.size());
    array.ReadTo(0, narrow.size() * 4, narrow.data());
    std::copy(narrow.begin(), narrow.end(), offsets.begin());
  }
  if (offsets[0] != 0 || !std::is_sorted(offsets.begin(), offsets.end())) return;
  if (offsets.back() > array.length() - front) return;
  offsets_ = std::move(offsets);
}

const uint8_t* BlockStreams::Read(const Region& array, uint64_t block, Scratch& scratch, size_t slot) const {
  const auto length = static_cast<size_t>(Length(block));
  uint8_t* bytes = scratch.Get(slot, length + kSlack);
  array.ReadTo(front_ + offsets_[block], length, bytes);
  memset(bytes + length, 0, kSlack);
  return bytes;
}

}  // namespace taskfold
