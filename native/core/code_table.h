#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/rans.h"

namespace taskfold {

/// Frequencies of at most 256 symbols that sum to kRansTotal: what one rANS table stores (docs/FORMAT.md,
/// "Tables").
class CodeTable {
 public:
  static constexpr size_t kMaxSymbols = 256;

  /// The frequencies that code `counts` in the fewest bits, up to rounding: every symbol that occurs gets at
  /// least 1. Empty when nothing occurs. At most kMaxSymbols counts, Σ < 2⁵³.
  static CodeTable Fit(const std::vector<uint64_t>& counts);
  /// From bytes [*at, length) of a pack; moves *at behind them. INVALID when they are no table: empty() is
  /// true then.
  static CodeTable Parse(const uint8_t* bytes, size_t length, size_t* at);

  bool empty() const { return frequency_.empty(); }
  /// Symbols from 0 to size() − 1.
  size_t size() const { return frequency_.size(); }
  /// 0 to kRansTotal; 0 for symbols that the table cannot code.
  uint32_t Frequency(size_t symbol) const { return symbol < frequency_.size() ? frequency_[symbol] : 0; }
  /// Σ of the frequencies of the symbols before it.
  uint32_t Start(size_t symbol) const { return start_[symbol]; }
  /// Appends the stored form.
  void Write(std::vector<uint8_t>* out) const;
  /// Bits that `counts` take with this table, states apart; +infinity when it lacks one of their symbols.
  double Cost(const std::vector<uint64_t>& counts) const;
  /// kRansTotal slots for RansReader::Symbol.
  std::vector<RansSlot> Slots() const;

 private:
  void SetStarts();
  std::vector<uint16_t> frequency_;
  std::vector<uint16_t> start_;
};

/// Entropy of a memoryless source with these counts, in bits for all of them.
double EntropyBits(const std::vector<uint64_t>& counts);

/// LEB128, least significant bits first.
void WriteVarint(uint64_t value, std::vector<uint8_t>* out);
/// False when bytes [*at, length) do not begin with a varint in its shortest form below 2⁶⁴; else moves *at
/// behind it.
bool ReadVarint(const uint8_t* bytes, size_t length, size_t* at, uint64_t* value);

}  // namespace taskfold
