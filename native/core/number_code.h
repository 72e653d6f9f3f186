#pragma once
#include <bit>
#include <cstdint>

// Numbers as a token and raw bits, so that 64 symbols cover 0 to 65 535: an exponent with two bits of
// mantissa in the token (docs/FORMAT.md, "Numbers").

namespace taskfold {

constexpr uint32_t kNumberTokens = 64;
constexpr uint32_t kMaxNumber = 65535;

struct NumberCode {
  uint32_t token;
  uint32_t extra;       ///< the raw bits
  uint32_t extra_bits;  ///< how many: 0 to 13
};

/// v ≤ kMaxNumber.
constexpr NumberCode EncodeNumber(uint32_t v) {
  if (v < 16) return {v, 0, 0};
  const auto exponent = static_cast<uint32_t>(std::bit_width(v)) - 1;
  const uint32_t bits = exponent - 2;
  return {16 + 4 * (exponent - 4) + ((v >> bits) & 3), v & ((1U << bits) - 1), bits};
}

/// Raw bits behind a token below kNumberTokens.
constexpr uint32_t ExtraBits(uint32_t token) { return token < 16 ? 0 : (token - 16) / 4 + 2; }

/// The number of a token and its raw bits.
constexpr uint32_t DecodeNumber(uint32_t token, uint32_t extra) {
  if (token < 16) return token;
  return ((4 + (token & 3)) << ExtraBits(token)) | extra;
}

/// 0, −1, 1, −2 … as 0, 1, 2, 3 …; |q| ≤ 32 767.
constexpr uint32_t ZigZag(int32_t q) {
  return (static_cast<uint32_t>(q) << 1) ^ static_cast<uint32_t>(q >> 31);
}
constexpr int32_t UnZigZag(uint32_t v) { return static_cast<int32_t>(v >> 1) ^ -static_cast<int32_t>(v & 1); }

}  // namespace taskfold
