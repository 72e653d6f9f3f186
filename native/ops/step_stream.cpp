#include "ops/step_stream.h"

#include <array>
#include <cstring>

namespace taskfold {
namespace {

void FillSlots(const CodeTable& table, uint32_t* slots) {
  size_t at = 0;
  for (size_t symbol = 0; symbol < table.size(); symbol++) {
    const uint32_t frequency = table.Frequency(symbol);
    for (uint32_t place = 0; place < frequency; place++) {
      slots[at++] = place | (frequency - 1) << 12 | static_cast<uint32_t>(symbol) << 24;
    }
  }
}

/// What a token stands for, without a branch on its kind.
struct TokenMeaning {
  uint16_t base;
  uint16_t bits;
};
constexpr std::array<TokenMeaning, kNumberTokens> kMeanings = [] {
  std::array<TokenMeaning, kNumberTokens> meanings{};
  for (uint32_t token = 0; token < kNumberTokens; token++) {
    meanings[token] = {static_cast<uint16_t>(DecodeNumber(token, 0)),
                       static_cast<uint16_t>(ExtraBits(token))};
  }
  return meanings;
}();

uint32_t WordAt(const uint8_t* at) {
  return static_cast<uint32_t>(at[0]) | static_cast<uint32_t>(at[1]) << 8;
}

struct Cursor {
  const uint8_t* next;
  const uint8_t* end;

  /// Behind the end the words are zeros, so a cursor that went too far stays inside the slack: see Segment.
  uint32_t Refill(uint32_t x) {
    const bool low = x < kRansLow;
    const uint32_t filled = x << 16 | WordAt(next);
    next += low ? 2 : 0;
    return low ? filled : x;
  }
};

uint32_t TakeSymbol(uint32_t& x, const uint32_t* slots, Cursor& cursor) {
  const uint32_t slot = slots[x & (kRansTotal - 1)];
  x = cursor.Refill(((slot >> 12 & 0xFFF) + 1) * (x >> kRansBits) + (slot & 0xFFF));
  return slot >> 24;
}

uint32_t TakeBits(uint32_t& x, uint32_t count, Cursor& cursor) {
  const uint32_t value = x & ((1U << count) - 1);
  x = cursor.Refill(x >> count);
  return value;
}

}  // namespace

StepSlots::StepSlots(const StepPair& pair) {
  FillSlots(pair.run, run);
  FillSlots(pair.level, level);
}

StepReader::StepReader(const uint8_t* bytes, size_t length)
    : next_(bytes + kRansHeader), end_(bytes + length) {
  x0_ = WordAt(bytes) | WordAt(bytes + 2) << 16;
  x1_ = WordAt(bytes + 4) | WordAt(bytes + 6) << 16;
  sound_ = x0_ >= kRansLow && x1_ >= kRansLow;
}

bool StepReader::Segment(const StepSlots& slots, float step, size_t entries, size_t elements,
                         uint16_t* positions, float* values) {
  // A state below kRansLow would need more than one word at a time.
  if (!sound_) return true;  // Finished() tells
  Cursor cursor{next_, end_};
  uint32_t x0 = x0_, x1 = x1_;
  uint64_t behind = 0;  // one behind the last position
  for (size_t i = 0; i < entries; i++) {
    const TokenMeaning run = kMeanings[TakeSymbol(x0, slots.run, cursor)];
    behind += run.base + TakeBits(x0, run.bits, cursor) + 1;
    const TokenMeaning level = kMeanings[TakeSymbol(x1, slots.level, cursor)];
    const uint32_t raw = TakeBits(x1, level.bits + 1, cursor);
    const float magnitude = static_cast<float>(level.base + (raw >> 1) + 1) * step;
    // A stream that is too short: its entries take at most kSlack bytes of zeros before this notices.
    if (cursor.next > end_) {
      sound_ = false;
      return true;
    }
    positions[i] = static_cast<uint16_t>(behind - 1);
    values[i] = (raw & 1) != 0 ? -magnitude : magnitude;
  }
  next_ = cursor.next;
  x0_ = x0;
  x1_ = x1;
  return behind <= elements;
}

bool EncodeStepBlock(const std::vector<StepSegment>& segments, std::vector<uint8_t>* out) {
  RansWriter writer;
  bool any = false;
  for (size_t s = segments.size(); s-- > 0;) {
    const auto& [entries, pair] = segments[s];
    const auto& [positions, codes] = *entries;
    if (codes.empty()) continue;
    if (!pair) return false;
    any = true;
    for (size_t i = codes.size(); i-- > 0;) {
      const int32_t q = codes[i];
      const NumberCode level = EncodeNumber(static_cast<uint32_t>(q < 0 ? -q : q) - 1);
      const NumberCode run = EncodeNumber(positions[i] - (i == 0 ? 0U : positions[i - 1] + 1U));
      const uint32_t level_frequency = pair->level.Frequency(level.token);
      const uint32_t run_frequency = pair->run.Frequency(run.token);
      if (level_frequency == 0 || run_frequency == 0) return false;
      writer.Bits(1, level.extra << 1 | (q < 0 ? 1U : 0U), level.extra_bits + 1);
      writer.Symbol(1, pair->level.Start(level.token), level_frequency);
      writer.Bits(0, run.extra, run.extra_bits);
      writer.Symbol(0, pair->run.Start(run.token), run_frequency);
    }
  }
  if (any) writer.Finish(out);
  return true;
}

}  // namespace taskfold
