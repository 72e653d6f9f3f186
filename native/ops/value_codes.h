#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/code_table.h"

// Entropy-coded items (docs/FORMAT.md, values coded): the byte that holds the exponent is a symbol, the rest
// is raw.

namespace taskfold {

/// Decoding table: symbol, frequency − 1 and place of each slot in 8 + 12 + 12 bits, so that it fits in L1.
std::vector<uint32_t> ValueSlots(const CodeTable& table);

/// Adds the symbols of `count` items of 1, 2 or 4 bytes to counts [256].
void CountValueSymbols(const uint8_t* items, size_t item, size_t count, uint64_t* counts);

/// Appends the stream of a block's items. The table has all their symbols.
void WriteValues(const uint8_t* items, size_t item, size_t count, const CodeTable& table,
                 std::vector<uint8_t>* out);

/// Items of a block from its stream, behind which BlockStreams::kSlack zeros stand. Null, or what is wrong.
const char* ReadValues(const uint8_t* bytes, size_t length, size_t item, size_t count, const uint32_t* slots,
                       uint8_t* items);

}  // namespace taskfold
