#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

// Codes of values that are added to θ* (docs/FORMAT.md, values sign and int4).

namespace taskfold {

/// Entries that share a scale of int4.
constexpr uint64_t kInt4Group = 64;

/// û of `count` entries: bit (first + i) % 8 of byte i / 8 … of `bits`, which begins with entry first & ~7.
void DecodeSigns(const uint8_t* bits, uint64_t first, size_t count, float scale, float* out);
/// û of `count` entries; `nibbles` begins with entry first & ~1, `scales` (F16) with that of entry first.
/// Null, or what is wrong.
const char* DecodeInt4(const uint8_t* nibbles, const uint16_t* scales, uint64_t first, size_t count,
                       float* out);

/// The scale of up to 64 residuals whose codes have the least squared error among a few: F16 bits. codes
/// [count]: −7 to 7.
uint16_t EncodeInt4(const float* u, size_t count, int8_t* codes);

/// dst[positions[i]] = round(widen(dst[positions[i]]) + u[i]); u = 0 leaves the bits. positions null: i.
/// `room` has 8 · count bytes.
void AddToItems(Dtype dtype, void* dst, const uint16_t* positions, size_t count, const float* u, float* room);

}  // namespace taskfold
