#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "core/dtype.h"
#include "core/file.h"

namespace taskfold {

/// A byte range of a file, or memory that its owner keeps alive while a job runs. The unit that moves through
/// the engine.
class Region {
 public:
  Region() = default;
  static Region OfFile(std::shared_ptr<File> file, uint64_t offset, uint64_t length) {
    Region region;
    region.file_ = std::move(file);
    region.offset_ = offset;
    region.length_ = length;
    return region;
  }
  static Region OfMemory(uint8_t* data, uint64_t length) {
    Region region;
    region.memory_ = data;
    region.length_ = length;
    return region;
  }

  /// Bytes [offset, offset + length) of the region: a pointer into memory, or read into `scratch` (≥ length
  /// bytes).
  const uint8_t* Read(uint64_t offset, size_t length, uint8_t* scratch) const {
    if (!file_) return memory_ + offset;
    file_->ReadAt(scratch, length, offset_ + offset);
    return scratch;
  }
  /// Copies bytes out of the region.
  void ReadTo(uint64_t offset, size_t length, void* to) const {
    if (file_) {
      file_->ReadAt(to, length, offset_ + offset);
    } else if (length > 0) {
      memcpy(to, memory_ + offset, length);
    }
  }
  void Write(uint64_t offset, size_t length, const void* from) const {
    if (file_) {
      file_->WriteAt(from, length, offset_ + offset);
    } else if (length > 0) {
      memmove(memory_ + offset, from, length);
    }
  }

  uint64_t length() const { return length_; }
  uint64_t file_offset() const { return offset_; }
  const std::shared_ptr<File>& file() const { return file_; }
  /// Null for a region of a file.
  uint8_t* memory() const { return memory_; }

 private:
  std::shared_ptr<File> file_;
  uint8_t* memory_ = nullptr;
  uint64_t offset_ = 0;
  uint64_t length_ = 0;
};

/// A tensor's bytes and how to read them.
struct Operand {
  Region region;
  Dtype dtype = Dtype::kF32;
};

}  // namespace taskfold
