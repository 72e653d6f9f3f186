#pragma once
#include <cstdint>
#include <cstring>

#include "core/dtype.h"
#include "core/host_device.h"

// Scalar conversions between the storage dtypes and f32: the meaning that SIMD and CUDA code must reproduce
// bit for bit. Narrowing rounds to nearest even and keeps subnormals. Overflow: f16, bf16, f8_e5m2 give
// ±infinity; f8_e4m3 (which has none) gives NaN with the sign kept. Every NaN becomes one canonical NaN, so
// that no machine's payload rules show.

namespace taskfold {

constexpr uint32_t kCanonicalNaN32 = 0x7FC00000u;

TF_HD inline uint32_t FloatBits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}

TF_HD inline float BitsFloat(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

TF_HD inline float BF16ToFloat(uint16_t h) { return BitsFloat(static_cast<uint32_t>(h) << 16); }

TF_HD inline uint16_t FloatToBF16(float x) {
  const uint32_t bits = FloatBits(x);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FC0;
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

TF_HD inline float F16ToFloat(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t exponent = (h >> 10) & 31u;
  const uint32_t mantissa = h & 0x3FFu;
  if (exponent == 31) return BitsFloat(mantissa ? kCanonicalNaN32 : (sign | 0x7F800000u));
  // A subnormal is mantissa · 2^-24, which f32 holds exactly as a normal number.
  if (exponent == 0)
    return BitsFloat(sign | FloatBits(static_cast<float>(mantissa) * 5.9604644775390625e-8f));
  return BitsFloat(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

namespace detail {

/// Rounds |x| (as f32 bits) to a format with `mantissa_bits` and exponent bias `bias`; no overflow handling.
/// `magic` = 2^(23 + exponent of the format's smallest subnormal): adding it aligns subnormals to their last
/// bit.
TF_HD inline uint32_t RoundMagnitude(uint32_t magnitude, int mantissa_bits, int bias,
                                     uint32_t smallest_normal, float magic) {
  if (magnitude < smallest_normal) return FloatBits(BitsFloat(magnitude) + magic) - FloatBits(magic);
  const int drop = 23 - mantissa_bits;
  const uint32_t rebias = static_cast<uint32_t>(127 - bias) << 23;
  return (magnitude - rebias + ((1u << (drop - 1)) - 1u) + ((magnitude >> drop) & 1u)) >> drop;
}

}  // namespace detail

TF_HD inline uint16_t FloatToF16(float x) {
  const uint32_t bits = FloatBits(x);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  const uint32_t sign = (bits >> 16) & 0x8000u;
  if (magnitude > 0x7F800000u) return 0x7E00;
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // 65520 and more
  return static_cast<uint16_t>(sign | detail::RoundMagnitude(magnitude, 10, 15, 0x38800000u, 0.5f));
}

TF_HD inline float F8E5M2ToFloat(uint8_t b) { return F16ToFloat(static_cast<uint16_t>(b << 8)); }

TF_HD inline uint8_t FloatToF8E5M2(float x) {
  const uint32_t bits = FloatBits(x);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  const uint32_t sign = (bits >> 24) & 0x80u;
  if (magnitude > 0x7F800000u) return 0x7F;
  if (magnitude >= 0x47700000u) return static_cast<uint8_t>(sign | 0x7Cu);  // 61440 and more
  return static_cast<uint8_t>(sign | detail::RoundMagnitude(magnitude, 2, 15, 0x38800000u, 128.0f));
}

TF_HD inline float F8E4M3ToFloat(uint8_t b) {
  const uint32_t sign = static_cast<uint32_t>(b & 0x80u) << 24;
  const uint32_t exponent = (b >> 3) & 15u;
  const uint32_t mantissa = b & 7u;
  if ((b & 0x7Fu) == 0x7Fu) return BitsFloat(kCanonicalNaN32);
  if (exponent == 0) return BitsFloat(sign | FloatBits(static_cast<float>(mantissa) * 0.001953125f));
  return BitsFloat(sign | ((exponent + 120u) << 23) | (mantissa << 20));
}

TF_HD inline uint8_t FloatToF8E4M3(float x) {
  const uint32_t bits = FloatBits(x);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  const uint32_t sign = (bits >> 24) & 0x80u;
  if (magnitude > 0x7F800000u) return 0x7F;
  if (magnitude > 0x43E80000u)
    return static_cast<uint8_t>(sign | 0x7Fu);  // above 464: nearer to 480 than to 448
  return static_cast<uint8_t>(sign | detail::RoundMagnitude(magnitude, 3, 7, 0x3C800000u, 16384.0f));
}

/// How one dtype is stored: raw integer type, exact widening, rounding.
template <Dtype kDtype>
struct Storage;

template <>
struct Storage<Dtype::kF32> {
  using Raw = uint32_t;
  TF_HD static float Widen(Raw raw) { return BitsFloat(raw); }
  TF_HD static Raw Round(float x) {
    const uint32_t bits = FloatBits(x);
    return (bits & 0x7FFFFFFFu) > 0x7F800000u ? kCanonicalNaN32 : bits;
  }
};
template <>
struct Storage<Dtype::kF16> {
  using Raw = uint16_t;
  TF_HD static float Widen(Raw raw) { return F16ToFloat(raw); }
  TF_HD static Raw Round(float x) { return FloatToF16(x); }
};
template <>
struct Storage<Dtype::kBF16> {
  using Raw = uint16_t;
  TF_HD static float Widen(Raw raw) { return BF16ToFloat(raw); }
  TF_HD static Raw Round(float x) { return FloatToBF16(x); }
};
template <>
struct Storage<Dtype::kF8E4M3> {
  using Raw = uint8_t;
  TF_HD static float Widen(Raw raw) { return F8E4M3ToFloat(raw); }
  TF_HD static Raw Round(float x) { return FloatToF8E4M3(x); }
};
template <>
struct Storage<Dtype::kF8E5M2> {
  using Raw = uint8_t;
  TF_HD static float Widen(Raw raw) { return F8E5M2ToFloat(raw); }
  TF_HD static Raw Round(float x) { return FloatToF8E5M2(x); }
};

/// Calls f.template operator()<dtype>() for the run-time dtype: the one visitor over dtypes.
template <class F>
decltype(auto) VisitDtype(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::kF32:
      return f.template operator()<Dtype::kF32>();
    case Dtype::kF16:
      return f.template operator()<Dtype::kF16>();
    case Dtype::kBF16:
      return f.template operator()<Dtype::kBF16>();
    case Dtype::kF8E4M3:
      return f.template operator()<Dtype::kF8E4M3>();
    default:
      return f.template operator()<Dtype::kF8E5M2>();
  }
}

}  // namespace taskfold
