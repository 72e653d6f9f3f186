#include "ops/delta_decoder.h"

#include <cmath>

#include "backend/registry.h"
#include "ops/added_values.h"
#include "ops/block_marks.h"
#include "ops/operand_reader.h"
#include "ops/rice_index.h"
#include "ops/value_codes.h"

namespace taskfold {

DeltaDecoder::DeltaDecoder(const std::string& name, uint64_t elements, Dtype dtype, const DeltaRegions& delta)
    : name_(name), delta_(delta), elements_(elements), dtype_(dtype), item_(ItemSize(dtype)) {
  if (delta.kept > elements)
    Refuse("keeps " + std::to_string(delta.kept) + " of " + std::to_string(elements));
  ReadStarts();
  uint64_t index_bytes = 0;
  if (delta.index == IndexCode::kBitmap) index_bytes = (elements + 7) / 8;
  if (delta.index == IndexCode::kU16) index_bytes = 2 * delta.kept;
  if (delta.index_bytes.length() < index_bytes) Refuse("the index is too short");
  if (delta.index == IndexCode::kRice && delta.kept > 0) {
    rice_ = BlockStreams(delta.index_bytes, elements, BlockStreams::OffsetBytes(elements));
    if (rice_.empty()) Refuse("the offsets of the index lead out of it");
  }
  if (delta.kept > 0) OpenValues();
}

void DeltaDecoder::ReadStarts() {
  const uint64_t blocks = BlockCount(elements_);
  starts_.resize(blocks + 1);
  if (delta_.index == IndexCode::kAll) {
    if (delta_.kept != elements_) Refuse("index all, but not every entry is kept");
    for (uint64_t b = 0; b <= blocks; b++) starts_[b] = std::min(b * kBlockElements, elements_);
    return;
  }
  const size_t width = delta_.kept < (uint64_t{1} << 32) ? 4 : 8;
  if (delta_.blocks.length() < (blocks + 1) * width) Refuse("the block starts are too short");
  if (width == 8) {
    delta_.blocks.ReadTo(0, (blocks + 1) * 8, starts_.data());
  } else {
    std::vector<uint32_t> narrow(blocks + 1);
    delta_.blocks.ReadTo(0, (blocks + 1) * 4, narrow.data());
    std::copy(narrow.begin(), narrow.end(), starts_.begin());
  }
  if (starts_[0] != 0 || starts_[blocks] != delta_.kept)
    Refuse("the block starts do not run from 0 to the kept entries");
  for (uint64_t b = 0; b < blocks; b++) {
    const uint64_t n = std::min(kBlockElements, elements_ - b * kBlockElements);
    if (starts_[b + 1] < starts_[b] || starts_[b + 1] - starts_[b] > n) {
      Refuse("block " + std::to_string(b) + " starts at " + std::to_string(starts_[b]) + " and ends at " +
             std::to_string(starts_[b + 1]));
    }
  }
}

void DeltaDecoder::OpenValues() {
  const Region& value = delta_.value;
  if (delta_.values == ValueCode::kCoded) {
    const uint64_t front = BlockStreams::OffsetBytes(elements_);
    constexpr uint64_t kMostTable = 2 + 2 * CodeTable::kMaxSymbols;
    if (value.length() < front) Refuse("the values are too short");
    std::vector<uint8_t> bytes(static_cast<size_t>(std::min(kMostTable, value.length() - front)));
    value.ReadTo(front, bytes.size(), bytes.data());
    size_t at = 0;
    const CodeTable table = CodeTable::Parse(bytes.data(), bytes.size(), &at);
    if (table.empty()) Refuse("the table of the values is damaged");
    coded_ = BlockStreams(value, elements_, front + at);
    if (coded_.empty()) Refuse("the offsets of the values lead out of them");
    slots_ = ValueSlots(table);
    return;
  }
  const uint32_t bits = delta_.values == ValueCode::kSign ? 1 : delta_.values == ValueCode::kInt4 ? 4 : 0;
  const uint64_t needed = bits == 0 ? delta_.kept * item_ : (delta_.kept * bits + 7) / 8;
  if (value.length() < needed) Refuse("fewer values than kept entries");
  if (bits == 0) return;
  const uint32_t used = static_cast<uint32_t>(delta_.kept * bits % 8);
  uint8_t last = 0;
  value.ReadTo(needed - 1, 1, &last);
  if (used != 0 && last >> used != 0) Refuse("the last value has spare bits that are not zero");
  if (bits == 1 && !(delta_.scale >= 0 && std::isfinite(delta_.scale)))
    Refuse("the scale is negative or not finite");
  if (bits == 4 && delta_.scales.length() < (delta_.kept + kInt4Group - 1) / kInt4Group * 2)
    Refuse("the scales are too short");
}

void DeltaDecoder::Refuse(const std::string& why) const {
  throw Error("PACK_INVALID", name_ + ": " + why).Tensor(name_);
}

void DeltaDecoder::Refuse(uint64_t block, const std::string& why) const {
  throw Error("PACK_INVALID", name_ + ": block " + std::to_string(block) + ": " + why).Tensor(name_);
}

void DeltaDecoder::CheckBitmap(uint64_t block, size_t n, const uint64_t* bits) const {
  if (n % 64 != 0 && (bits[n / 64] >> (n % 64)) != 0) Refuse(block, "marks behind the last element");
  uint64_t marked = 0;
  for (size_t w = 0; w < (n + 63) / 64; w++) marked += static_cast<uint64_t>(__builtin_popcountll(bits[w]));
  const uint64_t kept = starts_[block + 1] - starts_[block];
  if (marked != kept) {
    Refuse(block, std::to_string(marked) + " marks for " + std::to_string(kept) + " kept entries");
  }
}

void DeltaDecoder::CheckPositions(uint64_t block, size_t n, const uint16_t* positions) const {
  const auto count = static_cast<size_t>(starts_[block + 1] - starts_[block]);
  bool ascending = count == 0 || positions[count - 1] < n;
  for (size_t i = 1; i < count; i++) ascending &= positions[i] > positions[i - 1];
  if (!ascending) Refuse(block, "positions are not ascending inside the block");
}

const uint64_t* DeltaDecoder::BitmapOf(uint64_t block, size_t n, Scratch& scratch, size_t slot) const {
  auto* bits = scratch.Array<uint64_t>(slot, kBlockWords);
  bits[(n + 63) / 64 - 1] = 0;
  delta_.index_bytes.ReadTo(block * (kBlockElements / 8), (n + 7) / 8, bits);
  CheckBitmap(block, n, bits);
  return bits;
}

const uint8_t* DeltaDecoder::CheckedIndex(uint64_t first_block, uint64_t blocks, Scratch& scratch,
                                          size_t slot) const {
  const bool bitmap = delta_.index == IndexCode::kBitmap;
  const uint64_t first = first_block * kBlockElements;
  const auto n = static_cast<size_t>(std::min(blocks * kBlockElements, elements_ - first));
  const uint64_t offset = bitmap ? first / 8 : starts_[first_block] * 2;
  const auto length = bitmap ? (n + 7) / 8 : static_cast<size_t>(starts_[first_block + blocks] * 2 - offset);
  uint8_t* bytes = scratch.Get(slot, length + 8);
  memset(bytes + length, 0, 8);  // the last word of a bitmap is checked as a whole
  delta_.index_bytes.ReadTo(offset, length, bytes);
  for (uint64_t b = first_block; b < first_block + blocks; b++) {
    const auto inside = static_cast<size_t>(std::min(kBlockElements, elements_ - b * kBlockElements));
    if (bitmap) {
      CheckBitmap(b, inside, reinterpret_cast<const uint64_t*>(bytes) + (b - first_block) * kBlockWords);
    } else {
      CheckPositions(b, inside,
                     reinterpret_cast<const uint16_t*>(bytes) + (starts_[b] - starts_[first_block]));
    }
  }
  return bytes;
}

const uint16_t* DeltaDecoder::Positions(uint64_t block, size_t n, Scratch& scratch, size_t slot) const {
  const size_t count = Count(block);
  switch (delta_.index) {
    case IndexCode::kBitmap: {
      auto* positions = scratch.Array<uint16_t>(slot + 2, n);
      ActiveBackend().positions(n, BitmapOf(block, n, scratch, slot), positions);
      return positions;
    }
    case IndexCode::kRice: {
      if (rice_.empty()) return nullptr;
      if (rice_.Length(block) > MostRiceBytes(n, count))
        Refuse(block, "has a stream of an impossible length");
      const uint8_t* bytes = rice_.Read(delta_.index_bytes, block, scratch, slot);
      auto* positions = scratch.Array<uint16_t>(slot + 2, count);
      const char* why = ReadRice(bytes, static_cast<size_t>(rice_.Length(block)), n, count, positions);
      if (why) Refuse(block, why);
      return positions;
    }
    case IndexCode::kAll: {
      auto* positions = scratch.Array<uint16_t>(slot + 2, n);
      for (size_t i = 0; i < n; i++) positions[i] = static_cast<uint16_t>(i);
      return positions;
    }
    default: {
      const auto* positions = reinterpret_cast<const uint16_t*>(
          ReadAligned(delta_.index_bytes, starts_[block] * 2, count * 2, scratch.Get(slot, count * 2)));
      CheckPositions(block, n, positions);
      return positions;
    }
  }
}

const uint8_t* DeltaDecoder::Items(uint64_t block, Scratch& scratch, size_t slot) const {
  const size_t count = Count(block);
  if (delta_.values == ValueCode::kPlain) {
    return ReadAligned(delta_.value, starts_[block] * item_, count * item_, scratch.Get(slot, count * item_));
  }
  const uint64_t length = coded_.empty() ? 0 : coded_.Length(block);
  // Checked before memory is asked for.
  if (length > count * (item_ + 1) + kRansHeader) Refuse(block, "has values of an impossible length");
  uint8_t* items = scratch.Get(slot + 1, count * item_);
  if (coded_.empty()) return items;
  const uint8_t* bytes = coded_.Read(delta_.value, block, scratch, slot);
  const char* why = ReadValues(bytes, static_cast<size_t>(length), item_, count, slots_.data(), items);
  if (why) Refuse(block, why);
  return items;
}

void DeltaDecoder::ReadAdded(uint64_t block, float* out, Scratch& scratch, size_t slot) const {
  const uint64_t first = starts_[block];
  const size_t count = Count(block);
  if (delta_.values == ValueCode::kSign) {
    const auto length = static_cast<size_t>((first + count + 7) / 8 - first / 8);
    uint8_t* bits = scratch.Get(slot, length);
    delta_.value.ReadTo(first / 8, length, bits);
    return DecodeSigns(bits, first, count, delta_.scale, out);
  }
  const auto length = static_cast<size_t>((first + count + 1) / 2 - first / 2);
  const auto groups = static_cast<size_t>((first + count - 1) / kInt4Group - first / kInt4Group + 1);
  uint8_t* bytes = scratch.Get(slot, groups * 2 + length);
  delta_.scales.ReadTo(first / kInt4Group * 2, groups * 2, bytes);
  delta_.value.ReadTo(first / 2, length, bytes + groups * 2);
  const char* why =
      DecodeInt4(bytes + groups * 2, reinterpret_cast<const uint16_t*>(bytes), first, count, out);
  if (why) Refuse(block, why);
}

void DeltaDecoder::Apply(uint64_t block, size_t n, void* dst, Scratch& scratch, size_t slot) const {
  const size_t count = Count(block);
  if (n == 0) return;
  const TfBackend& backend = ActiveBackend();
  if (!Exact()) {
    const bool all = delta_.index == IndexCode::kAll;
    const uint16_t* positions = all ? nullptr : Positions(block, n, scratch, slot);
    if (count == 0) return;
    auto* u = scratch.Array<float>(slot + 3, 3 * count);
    ReadAdded(block, u, scratch, slot + 1);
    return AddToItems(dtype_, dst, positions, count, u, u + count);
  }
  // Beside the index in `slot`, items take slot + 1 and slot + 2; positions from a stream lie in slot + 2.
  switch (delta_.index) {
    case IndexCode::kAll: {
      memcpy(dst, Items(block, scratch, slot + 1), count * item_);
      return;
    }
    case IndexCode::kBitmap: {
      const uint64_t* bits = BitmapOf(block, n, scratch, slot);
      const uint8_t* items = Items(block, scratch, slot + 1);
      if (count > 0) backend.scatter_bitmap(item_, n, dst, bits, items);
      return;
    }
    case IndexCode::kRice: {
      // The stream's slot is free again once it is decoded.
      const uint16_t* positions = Positions(block, n, scratch, slot);
      const uint8_t* items = Items(block, scratch, slot);
      if (count > 0) backend.scatter_u16(item_, n, dst, positions, items, count);
      return;
    }
    default: {
      const uint8_t* items = Items(block, scratch, slot + 1);
      if (count == 0) return;
      const uint8_t* positions =
          ReadAligned(delta_.index_bytes, starts_[block] * 2, count * 2, scratch.Get(slot, count * 2));
      if (!backend.scatter_u16(item_, n, dst, reinterpret_cast<const uint16_t*>(positions), items, count)) {
        Refuse(block, "positions are not ascending inside the block");
      }
    }
  }
}

void DeltaDecoder::Marks(uint64_t block, size_t n, uint64_t* bits, Scratch& scratch, size_t slot) const {
  std::fill_n(bits, (n + 63) / 64, uint64_t{0});
  if (n == 0) return;
  if (delta_.index == IndexCode::kBitmap) {
    std::copy_n(BitmapOf(block, n, scratch, slot), (n + 63) / 64, bits);
    return;
  }
  const uint16_t* positions = Positions(block, n, scratch, slot);
  for (size_t i = 0; i < Count(block); i++) {
    bits[positions[i] / 64] |= uint64_t{1} << (positions[i] % 64);
  }
}

}  // namespace taskfold
