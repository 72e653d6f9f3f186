#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

// Range asymmetric numeral systems (Duda 2013, arXiv 1311.2540) with static frequencies of 12 bits, a state
// of 32 bits and words of 16: docs/FORMAT.md, "rANS". Two states share one sequence of words.

namespace taskfold {

constexpr uint32_t kRansBits = 12;
constexpr uint32_t kRansTotal = 1U << kRansBits;
/// A state lies in [kRansLow, 2³²); both begin, for the encoder, here.
constexpr uint32_t kRansLow = 1U << 16;
constexpr uint32_t kRansStates = 2;
/// Bytes of the states in front of a stream's words.
constexpr size_t kRansHeader = 4 * kRansStates;

/// One slot of a decoding table: symbol, frequency − 1, and the slot's place inside the symbol's range.
struct RansSlot {
  uint16_t symbol;
  uint16_t frequency;  ///< 1 to 4096
  uint16_t place;
};

/// Reads one stream. Never reads outside [words, end): behind the end it delivers zeros and Finished() is
/// false.
class RansReader {
 public:
  /// `bytes` holds kRansHeader bytes and words behind it; fewer make a reader that is not Finished().
  RansReader(const uint8_t* bytes, size_t length) {
    if (length < kRansHeader || length % 2 != 0) return;
    for (uint32_t s = 0; s < kRansStates; s++)
      state_[s] = Word(bytes + 4 * s) | Word(bytes + 4 * s + 2) << 16;
    next_ = bytes + kRansHeader;
    end_ = bytes + length;
    valid_ = state_[0] >= kRansLow && state_[1] >= kRansLow;
  }

  /// A symbol of table [kRansTotal].
  uint32_t Symbol(uint32_t s, const RansSlot* table) {
    const uint32_t x = state_[s];
    const RansSlot slot = table[x & (kRansTotal - 1)];
    state_[s] = slot.frequency * (x >> kRansBits) + slot.place;
    Refill(s);
    return slot.symbol;
  }
  /// `count` ≤ 16 raw bits.
  uint32_t Bits(uint32_t s, uint32_t count) {
    const uint32_t value = state_[s] & ((1U << count) - 1);
    state_[s] >>= count;
    Refill(s);
    return value;
  }
  /// Everything was used and both states are back where the encoder began.
  bool Finished() const { return valid_ && next_ == end_ && state_[0] == kRansLow && state_[1] == kRansLow; }

 private:
  static uint32_t Word(const uint8_t* at) {
    return static_cast<uint32_t>(at[0]) | static_cast<uint32_t>(at[1]) << 8;
  }
  void Refill(uint32_t s) {
    if (state_[s] >= kRansLow) return;
    if (next_ == end_) {
      valid_ = false;
      state_[s] = kRansLow;
      return;
    }
    state_[s] = state_[s] << 16 | Word(next_);
    next_ += 2;
  }

  uint32_t state_[kRansStates] = {0, 0};
  const uint8_t* next_ = nullptr;
  const uint8_t* end_ = nullptr;
  bool valid_ = false;
};

/// Writes one stream: operations are given last first, because decoding runs the other way.
class RansWriter {
 public:
  /// A symbol that covers [start, start + frequency) of kRansTotal; frequency ≥ 1.
  void Symbol(uint32_t s, uint32_t start, uint32_t frequency) {
    uint32_t& x = state_[s];
    // The largest state that stays below 2³² after the step.
    if (x >= (static_cast<uint64_t>(frequency) << (32 - kRansBits))) Spill(x);
    x = (x / frequency << kRansBits) + x % frequency + start;
  }
  /// The `count` ≤ 16 low bits of value.
  void Bits(uint32_t s, uint32_t value, uint32_t count) {
    uint32_t& x = state_[s];
    if (static_cast<uint64_t>(x) << count >> 32 != 0) Spill(x);
    x = x << count | value;
  }
  /// Bytes of the finished stream.
  size_t Bytes() const { return kRansHeader + 2 * words_.size(); }
  /// Appends states and words to `out` and begins anew.
  void Finish(std::vector<uint8_t>* out) {
    for (uint32_t s = 0; s < kRansStates; s++) {
      for (uint32_t shift = 0; shift < 32; shift += 8)
        out->push_back(static_cast<uint8_t>(state_[s] >> shift));
      state_[s] = kRansLow;
    }
    for (size_t i = words_.size(); i-- > 0;) {
      out->push_back(static_cast<uint8_t>(words_[i]));
      out->push_back(static_cast<uint8_t>(words_[i] >> 8));
    }
    words_.clear();
  }

 private:
  void Spill(uint32_t& x) {
    words_.push_back(static_cast<uint16_t>(x));
    x >>= 16;
  }

  uint32_t state_[kRansStates] = {kRansLow, kRansLow};
  std::vector<uint16_t> words_;
};

}  // namespace taskfold
