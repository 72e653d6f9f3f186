#include "ops/stored_bytes.h"

#include <algorithm>

#include "core/error.h"

namespace taskfold {

StoredBytes::StoredBytes(const char* what, const Region& region, uint64_t most) : what_(what) {
  if (region.length() > most + kMaxPadding) {
    Refuse("holds " + std::to_string(region.length()) + " bytes, no more than " + std::to_string(most) +
           " make sense");
  }
  // A file that ends earlier shows before memory is taken for it.
  uint8_t last = 0;
  if (region.length() > 0) region.ReadTo(region.length() - 1, 1, &last);
  bytes_.resize(static_cast<size_t>(region.length()));
  region.ReadTo(0, bytes_.size(), bytes_.data());
}

void StoredBytes::Refuse(const std::string& why) const {
  const std::string where = std::string("the ") + what_ + " of the coded tensors";
  if (!tensor_) throw Error("PACK_INVALID", where + ": " + why);
  throw Error("PACK_INVALID", *tensor_ + ": " + where + ": " + why).Tensor(*tensor_);
}

uint8_t StoredBytes::Byte() {
  if (at_ >= bytes_.size()) Refuse("ends too early");
  return bytes_[at_++];
}

uint64_t StoredBytes::Varint() {
  uint64_t value = 0;
  if (!ReadVarint(bytes_.data(), bytes_.size(), &at_, &value)) Refuse("holds a number that is cut or padded");
  return value;
}

uint64_t StoredBytes::VarintUpTo(uint64_t most) {
  const uint64_t value = Varint();
  if (value > most) Refuse(std::to_string(value) + " where at most " + std::to_string(most) + " is possible");
  return value;
}

CodeTable StoredBytes::Table(size_t symbols) {
  CodeTable table = CodeTable::Parse(bytes_.data(), bytes_.size(), &at_);
  if (table.empty()) Refuse("holds a table whose frequencies do not add up");
  if (table.size() > symbols) Refuse("holds a table of " + std::to_string(table.size()) + " symbols");
  return table;
}

void StoredBytes::End() {
  const auto rest = bytes_.begin() + static_cast<std::ptrdiff_t>(at_);
  if (bytes_.size() - at_ > kMaxPadding || std::any_of(rest, bytes_.end(), [](uint8_t b) { return b != 0; }))
    Refuse("does not end where it should");
}

void CheckPadded(const char* what, const Region& region, uint64_t length) {
  const auto refuse = [&](const std::string& why) {
    throw Error("PACK_INVALID", std::string("the ") + what + " of the coded tensors: " + why);
  };
  if (region.length() < length || region.length() - length > kMaxPadding) {
    refuse("holds " + std::to_string(region.length()) + " bytes, the directory wants " +
           std::to_string(length));
  }
  uint8_t padding[kMaxPadding] = {};
  region.ReadTo(length, static_cast<size_t>(region.length() - length), padding);
  if (std::any_of(std::begin(padding), std::end(padding), [](uint8_t b) { return b != 0; }))
    refuse("is padded with other bytes than zeros");
}

}  // namespace taskfold
