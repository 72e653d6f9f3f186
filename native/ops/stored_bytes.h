#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/code_table.h"
#include "core/region.h"

namespace taskfold {

/// Reads one of a stream codec's small arrays (tables, directory) front to back. Nothing of it is trusted:
/// PACK_INVALID with the tensor that Tensor() named last for whatever it lacks.
class StoredBytes {
 public:
  /// `what` for errors: "tables", "directory". Refused when the region holds more than `most` bytes and
  /// padding: no writer needs them, and they would have to be held in memory.
  StoredBytes(const char* what, const Region& region, uint64_t most);

  /// Errors from here on name this tensor; null: none. It must live as long as this does.
  void Tensor(const std::string* name) { tensor_ = name; }
  uint8_t Byte();
  uint64_t Varint();
  /// A varint ≤ most.
  uint64_t VarintUpTo(uint64_t most);
  /// A table of at most `symbols` symbols.
  CodeTable Table(size_t symbols);
  /// What is left is padding: zeros up to a multiple of 8 bytes.
  void End();
  [[noreturn]] void Refuse(const std::string& why) const;

 private:
  const char* what_;
  const std::string* tensor_ = nullptr;
  std::vector<uint8_t> bytes_;
  size_t at_ = 0;
};

/// PACK_INVALID unless the region holds `length` bytes and padding behind them.
void CheckPadded(const char* what, const Region& region, uint64_t length);

/// Bytes that padding may add to an array.
constexpr uint64_t kMaxPadding = 7;

}  // namespace taskfold
