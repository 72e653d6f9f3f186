#include "ops/step_stream.h"

#include <array>

#include "core/float_convert.h"

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

/// The next four words, which is all that one entry can take: a load for each entry, not for each refill, so
/// that a state never waits for memory.
struct Words {
  uint64_t left;
  uint32_t used = 0;  ///< bytes

  explicit Words(const uint8_t* at)
      : left(WordAt(at) | static_cast<uint64_t>(WordAt(at + 2)) << 16 |
             static_cast<uint64_t>(WordAt(at + 4)) << 32 | static_cast<uint64_t>(WordAt(at + 6)) << 48) {}

  uint32_t Refill(uint32_t x) {
    const bool low = x < kRansLow;
    const uint32_t filled = x << 16 | static_cast<uint32_t>(left & 0xFFFF);
    left >>= low ? 16 : 0;
    used += low ? 2 : 0;
    return low ? filled : x;
  }
};

uint32_t TakeSymbol(uint32_t& x, const uint32_t* slots, Words& words) {
  const uint32_t slot = slots[x & (kRansTotal - 1)];
  x = words.Refill(((slot >> 12 & 0xFFF) + 1) * (x >> kRansBits) + (slot & 0xFFF));
  return slot >> 24;
}

uint32_t TakeBits(uint32_t& x, uint32_t count, Words& words) {
  const uint32_t value = x & ((1U << count) - 1);
  x = words.Refill(x >> count);
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
  const uint8_t* next = next_;
  uint32_t x0 = x0_, x1 = x1_;
  uint64_t behind = 0;  // one behind the last position
  for (size_t i = 0; i < entries; i++) {
    Words words(next);
    const TokenMeaning run = kMeanings[TakeSymbol(x0, slots.run, words)];
    behind += run.base + TakeBits(x0, run.bits, words) + 1;
    const TokenMeaning level = kMeanings[TakeSymbol(x1, slots.level, words)];
    const uint32_t raw = TakeBits(x1, level.bits + 1, words);
    const float magnitude = static_cast<float>(level.base + (raw >> 1) + 1) * step;
    next += words.used;
    // A stream that is too short: its last entry took zeros from the slack.
    if (next > end_) {
      sound_ = false;
      return true;
    }
    positions[i] = static_cast<uint16_t>(behind - 1);
    values[i] = BitsFloat(FloatBits(magnitude) | raw << 31);
  }
  next_ = next;
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
