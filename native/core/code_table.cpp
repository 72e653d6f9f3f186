#include "core/code_table.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace taskfold {

double EntropyBits(const std::vector<uint64_t>& counts) {
  double total = 0, sum = 0;
  for (const uint64_t count : counts) total += static_cast<double>(count);
  for (const uint64_t count : counts) {
    if (count > 0) sum -= static_cast<double>(count) * std::log2(static_cast<double>(count) / total);
  }
  return sum;
}

CodeTable CodeTable::Fit(const std::vector<uint64_t>& counts) {
  CodeTable table;
  double total = 0;
  size_t size = 0;
  for (size_t s = 0; s < counts.size() && s < kMaxSymbols; s++) {
    total += static_cast<double>(counts[s]);
    if (counts[s] > 0) size = s + 1;
  }
  if (size == 0) return table;
  table.frequency_.resize(size);
  int64_t left = kRansTotal;
  for (size_t s = 0; s < size; s++) {
    if (counts[s] == 0) continue;
    const double share = static_cast<double>(counts[s]) / total * kRansTotal;
    table.frequency_[s] = static_cast<uint16_t>(std::clamp(std::floor(share), 1.0, double{kRansTotal}));
    left -= table.frequency_[s];
  }
  // One slot at a time goes where it saves most, or is taken where it costs least; the lowest symbol of
  // equals.
  while (left != 0) {
    const bool give = left > 0;
    size_t best = size;
    double best_gain = -std::numeric_limits<double>::infinity();
    for (size_t s = 0; s < size; s++) {
      const double f = table.frequency_[s];
      if (f == 0 || (!give && f == 1)) continue;
      const double gain = static_cast<double>(counts[s]) * std::log2(give ? (f + 1) / f : (f - 1) / f);
      if (gain > best_gain) {
        best_gain = gain;
        best = s;
      }
    }
    table.frequency_[best] = static_cast<uint16_t>(table.frequency_[best] + (give ? 1 : -1));
    left += give ? -1 : 1;
  }
  table.SetStarts();
  return table;
}

void CodeTable::SetStarts() {
  start_.resize(frequency_.size());
  uint32_t sum = 0;
  for (size_t s = 0; s < frequency_.size(); s++) {
    start_[s] = static_cast<uint16_t>(sum);
    sum += frequency_[s];
  }
}

CodeTable CodeTable::Parse(const uint8_t* bytes, size_t length, size_t* at) {
  CodeTable table;
  uint64_t size = 0;
  if (!ReadVarint(bytes, length, at, &size) || size == 0 || size > kMaxSymbols) return {};
  uint64_t sum = 0;
  for (uint64_t s = 0; s < size; s++) {
    uint64_t frequency = 0;
    if (!ReadVarint(bytes, length, at, &frequency) || frequency > kRansTotal) return {};
    sum += frequency;
    table.frequency_.push_back(static_cast<uint16_t>(frequency));
  }
  // The last symbol has a frequency, so that a table has one form only.
  if (sum != kRansTotal || table.frequency_.back() == 0) return {};
  table.SetStarts();
  return table;
}

void CodeTable::Write(std::vector<uint8_t>* out) const {
  WriteVarint(frequency_.size(), out);
  for (const uint16_t frequency : frequency_) WriteVarint(frequency, out);
}

double CodeTable::Cost(const std::vector<uint64_t>& counts) const {
  double bits = 0;
  for (size_t s = 0; s < counts.size(); s++) {
    if (counts[s] == 0) continue;
    const uint32_t frequency = Frequency(s);
    if (frequency == 0) return std::numeric_limits<double>::infinity();
    bits += static_cast<double>(counts[s]) * (kRansBits - std::log2(static_cast<double>(frequency)));
  }
  return bits;
}

std::vector<RansSlot> CodeTable::Slots() const {
  std::vector<RansSlot> slots;
  slots.reserve(kRansTotal);
  for (size_t s = 0; s < frequency_.size(); s++) {
    for (uint16_t place = 0; place < frequency_[s]; place++) {
      slots.push_back({static_cast<uint16_t>(s), frequency_[s], place});
    }
  }
  return slots;
}

void WriteVarint(uint64_t value, std::vector<uint8_t>* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<uint8_t>(value | 0x80));
  out->push_back(static_cast<uint8_t>(value));
}

bool ReadVarint(const uint8_t* bytes, size_t length, size_t* at, uint64_t* value) {
  *value = 0;
  for (uint32_t shift = 0; shift < 64; shift += 7) {
    if (*at >= length) return false;
    const uint8_t byte = bytes[(*at)++];
    if (shift == 63 && byte > 1) return false;
    *value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return byte != 0 || shift == 0;
  }
  return false;
}

}  // namespace taskfold
