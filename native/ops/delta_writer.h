#pragma once
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/file.h"
#include "ops/block_marks.h"
#include "ops/emit_delta.h"

// What both ways of emitting a delta share: where marks wait, and how the arrays of one tensor reach the
// file.

namespace taskfold {

/// Of every stored array, in bytes.
constexpr uint64_t kArrayAlignment = 8;

/// Marks of a whole tensor, each block's written once and read once. Different blocks from any thread.
class MarkStore {
 public:
  /// Large ones wait in an unnamed file beside the output.
  MarkStore(uint64_t blocks, const std::string& beside);
  /// Marks from `first_block` on, `bytes` of them; blocks lie one behind the other, each whole but the last.
  void Put(uint64_t first_block, const void* bits, size_t bytes) {
    PutAt(first_block * kBlockWords * 8, bits, bytes);
  }
  /// The same at an offset in bytes.
  void PutAt(uint64_t offset, const void* bits, size_t bytes);
  const uint64_t* Get(uint64_t block, size_t words, uint64_t* scratch) const;

 private:
  std::vector<uint64_t> words_;
  std::shared_ptr<File> file_;
};

/// Appends arrays to the delta file.
class ArrayWriter {
 public:
  ArrayWriter(std::shared_ptr<File> file, uint64_t offset) : file_(std::move(file)), offset_(offset) {}
  void Begin() { start_ = offset_; }
  void Append(const void* bytes, size_t length) {
    file_->WriteAt(bytes, length, offset_);
    offset_ += length;
  }
  /// Writes at a distance behind offset(), from any thread; Skip goes on behind it.
  void WriteAhead(uint64_t distance, const void* bytes, size_t length) const {
    file_->WriteAt(bytes, length, offset_ + distance);
  }
  void Skip(uint64_t length) { offset_ += length; }
  /// Pads with zeros; the range includes the padding.
  StoredArray End();
  uint64_t offset() const { return offset_; }
  const std::string& path() const { return file_->path(); }

 private:
  std::shared_ptr<File> file_;
  uint64_t offset_, start_ = 0;
};

/// Kept values of a whole tensor, θt's own items: written where they belong at once, or held until all are
/// known, because their code depends on all.
class ValueStore {
 public:
  /// `most_bytes`: of all elements. Without `hold` they go behind the writer's offset.
  ValueStore(uint64_t most_bytes, bool hold, const ArrayWriter& writer);
  bool holds() const { return memory_ || file_; }
  /// Different ranges from any thread.
  void Put(uint64_t offset, const void* bytes, size_t length);
  /// Of held values: in place, or read into scratch.
  const uint8_t* Read(uint64_t offset, size_t length, uint8_t* scratch) const;

 private:
  const ArrayWriter& writer_;
  std::unique_ptr<uint8_t[]> memory_;
  std::shared_ptr<File> file_;
};

/// Writes what is left of a tensor whose marks and values are stored: held values, index, block starts,
/// scales. starts.back() is the number of kept entries; 0: nothing is written.
EmittedTensor FinishTensor(const EmitTensor& tensor, const EmitOptions& options, const ValueStore& values,
                           const MarkStore& marks, const std::vector<uint64_t>& starts, ArrayWriter& writer,
                           Scratch& scratch, RunControl& control);

}  // namespace taskfold
