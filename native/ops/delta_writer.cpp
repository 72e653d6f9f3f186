#include "ops/delta_writer.h"

#include "ops/index_writer.h"
#include "ops/value_writer.h"

namespace taskfold {
namespace {

// A tensor's marks wait in memory until its number of kept entries says which index code is smallest, and so
// do values that are coded; larger ones go through an unnamed file. 64 MiB of marks are 512 Mi elements.
constexpr uint64_t kMaxInMemory = uint64_t{64} << 20;

StoredArray WriteStarts(const std::vector<uint64_t>& starts, ArrayWriter& writer) {
  writer.Begin();
  if (starts.back() < (uint64_t{1} << 32)) {
    const std::vector<uint32_t> narrow(starts.begin(), starts.end());
    writer.Append(narrow.data(), narrow.size() * sizeof(uint32_t));
  } else {
    writer.Append(starts.data(), starts.size() * sizeof(uint64_t));
  }
  return writer.End();
}

}  // namespace

MarkStore::MarkStore(uint64_t blocks, const std::string& beside) {
  if (blocks * kBlockWords * 8 > kMaxInMemory) {
    file_ = File::OpenTemporaryBeside(beside);
  } else {
    words_.resize(blocks * kBlockWords);
  }
}

void MarkStore::PutAt(uint64_t offset, const void* bits, size_t bytes) {
  if (file_) {
    file_->WriteAt(bits, bytes, offset);
  } else {
    memcpy(reinterpret_cast<uint8_t*>(words_.data()) + offset, bits, bytes);
  }
}

const uint64_t* MarkStore::Get(uint64_t block, size_t words, uint64_t* scratch) const {
  if (!file_) return words_.data() + block * kBlockWords;
  file_->ReadAt(scratch, words * 8, block * kBlockWords * 8);
  return scratch;
}

StoredArray ArrayWriter::End() {
  constexpr uint8_t kZeros[kArrayAlignment] = {0};
  const uint64_t excess = (offset_ - start_) % kArrayAlignment;
  if (excess != 0) Append(kZeros, kArrayAlignment - excess);
  return {start_, offset_ - start_};
}

ValueStore::ValueStore(uint64_t most_bytes, bool hold, const ArrayWriter& writer) : writer_(writer) {
  if (!hold) return;
  if (most_bytes > kMaxInMemory) {
    file_ = File::OpenTemporaryBeside(writer.path());
  } else {
    // Uninitialised: only what is kept becomes resident.
    memory_.reset(new uint8_t[most_bytes]);
  }
}

void ValueStore::Put(uint64_t offset, const void* bytes, size_t length) {
  if (length == 0) return;
  if (memory_) {
    memcpy(memory_.get() + offset, bytes, length);
  } else if (file_) {
    file_->WriteAt(bytes, length, offset);
  } else {
    writer_.WriteAhead(offset, bytes, length);
  }
}

const uint8_t* ValueStore::Read(uint64_t offset, size_t length, uint8_t* scratch) const {
  if (memory_) return memory_.get() + offset;
  file_->ReadAt(scratch, length, offset);
  return scratch;
}

EmittedTensor FinishTensor(const EmitTensor& tensor, const EmitOptions& options, const ValueStore& values,
                           const MarkStore& marks, const std::vector<uint64_t>& starts, ArrayWriter& writer,
                           Scratch& scratch, RunControl& control) {
  EmittedTensor emitted;
  emitted.block_count = starts.size() - 1;
  emitted.kept = starts.back();
  if (emitted.kept == 0) return emitted;
  IndexWriter index(tensor, options.index, marks, starts, control);
  WrittenValues written;
  if (values.holds()) {
    written = WriteHeldValues(tensor, options.values, values, marks, starts, writer, control);
  } else {
    writer.Skip(emitted.kept * ItemSize(tensor.dtype));
  }
  emitted.value = writer.End();
  emitted.values = written.code;
  emitted.scale = written.scale;
  emitted.index = index.code();
  if (emitted.index != IndexCode::kAll) {
    emitted.index_bytes = index.Write(writer, scratch);
    emitted.blocks = WriteStarts(starts, writer);
  }
  if (!written.scales.empty()) {
    writer.Begin();
    writer.Append(written.scales.data(), written.scales.size() * sizeof(uint16_t));
    emitted.scales = writer.End();
  }
  return emitted;
}

}  // namespace taskfold
