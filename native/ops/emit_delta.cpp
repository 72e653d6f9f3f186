#include "ops/emit_delta.h"

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/block_marks.h"
#include "ops/operand_reader.h"

namespace taskfold {
namespace {

constexpr uint64_t kAlignment = 8;  // of every stored array
// A tensor's marks wait in memory until its number of kept entries says which index code is smaller; larger
// ones go through an unnamed file. 64 MiB of marks are 512 Mi elements.
constexpr uint64_t kMaxMarksInMemory = uint64_t{64} << 20;

/// Marks of a whole tensor, written once in order and read once.
class MarkStore {
 public:
  MarkStore(uint64_t blocks, const std::string& beside) {
    if (blocks * kBlockWords * 8 > kMaxMarksInMemory) {
      file_ = File::OpenTemporaryBeside(beside);
    } else {
      words_.resize(blocks * kBlockWords);
    }
  }
  void Put(uint64_t block, const uint64_t* bits, size_t words) {
    if (file_) {
      file_->WriteAt(bits, words * 8, block * kBlockWords * 8);
    } else {
      memcpy(words_.data() + block * kBlockWords, bits, words * 8);
    }
  }
  const uint64_t* Get(uint64_t block, size_t words, uint64_t* scratch) const {
    if (!file_) return words_.data() + block * kBlockWords;
    file_->ReadAt(scratch, words * 8, block * kBlockWords * 8);
    return scratch;
  }

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
  /// Pads with zeros; the range includes the padding.
  StoredArray End() {
    constexpr uint8_t kZeros[kAlignment] = {0};
    const uint64_t excess = (offset_ - start_) % kAlignment;
    if (excess != 0) Append(kZeros, kAlignment - excess);
    return {start_, offset_ - start_};
  }
  uint64_t offset() const { return offset_; }
  const std::string& path() const { return file_->path(); }

 private:
  std::shared_ptr<File> file_;
  uint64_t offset_, start_ = 0;
};

/// Buffers that live through a whole job.
struct Buffers {
  explicit Buffers(unsigned threads) : group(BlocksPerGroup(threads)), blocks(group), scratch(group) {}
  size_t group;
  std::vector<MarkedBlock> blocks;
  std::vector<Scratch> scratch;
  Scratch gathered;
};

StoredArray WriteIndex(IndexCode code, uint64_t elements, const MarkStore& marks,
                       const std::vector<uint64_t>& starts, ArrayWriter& writer, Buffers& buffers,
                       RunControl& control) {
  const TfBackend& backend = ActiveBackend();
  const uint64_t blocks = BlockCount(elements);
  const auto elements_of = [&](uint64_t block) {
    return static_cast<size_t>(std::min<uint64_t>(kBlockElements, elements - block * kBlockElements));
  };
  writer.Begin();
  for (uint64_t first = 0; first < blocks; first += buffers.group) {
    control.ThrowIfCancelled();
    const auto count = static_cast<size_t>(std::min<uint64_t>(buffers.group, blocks - first));
    if (code == IndexCode::kBitmap) {
      for (uint64_t b = first; b < first + count; b++) {
        const size_t bytes = (elements_of(b) + 7) / 8;
        uint64_t words[kBlockWords];
        writer.Append(marks.Get(b, (bytes + 7) / 8, words), bytes);
      }
      continue;
    }
    const uint64_t kept = starts[first + count] - starts[first];
    auto* positions = buffers.gathered.Array<uint16_t>(0, kept);
    ParallelFor(count, control.threads(), [&](size_t b, unsigned) {
      const size_t n = elements_of(first + b);
      uint64_t words[kBlockWords];
      backend.positions(n, marks.Get(first + b, (n + 63) / 64, words),
                        positions + (starts[first + b] - starts[first]));
    });
    writer.Append(positions, kept * sizeof(uint16_t));
  }
  return writer.End();
}

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

EmittedTensor EmitTensorDelta(const EmitTensor& tensor, const EmitOptions& options, uint64_t* ties,
                              ArrayWriter& writer, Buffers& buffers, RunControl& control) {
  const TfBackend& backend = ActiveBackend();
  const size_t item = ItemSize(tensor.dtype);
  const uint64_t blocks = BlockCount(tensor.elements);
  EmittedTensor emitted;
  emitted.block_count = blocks;
  const BlockMarker marker({&tensor.name, tensor.elements, tensor.dtype, &tensor.task, &tensor.merged},
                           options.keep_non_finite);
  MarkStore marks(blocks, writer.path());
  std::vector<uint64_t> starts{0};
  starts.reserve(blocks + 1);
  writer.Begin();
  for (uint64_t first = 0; first < blocks; first += buffers.group) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(buffers.group, blocks - first));
    marker.Mark(first, count, options.threshold, ties, buffers.blocks, buffers.scratch, control);
    for (size_t b = 0; b < count; b++) {
      starts.push_back(starts.back() + buffers.blocks[b].kept);
      marks.Put(first + b, buffers.blocks[b].bits, (buffers.blocks[b].elements + 63) / 64);
    }
    const uint64_t kept = starts[first + count] - starts[first];
    uint8_t* values = buffers.gathered.Get(0, kept * item);
    ParallelFor(count, control.threads(), [&](size_t b, unsigned) {
      const MarkedBlock& block = buffers.blocks[b];
      backend.gather(item, block.elements, block.bits, block.values,
                     values + (starts[first + b] - starts[first]) * item);
    });
    writer.Append(values, kept * item);
  }
  emitted.kept = starts.back();
  if (emitted.kept == 0) return emitted;
  emitted.value = writer.End();
  emitted.index = options.index;
  if (options.index == IndexCode::kAuto) {
    emitted.index = (tensor.elements + 7) / 8 < 2 * emitted.kept ? IndexCode::kBitmap : IndexCode::kU16;
  }
  emitted.index_bytes = WriteIndex(emitted.index, tensor.elements, marks, starts, writer, buffers, control);
  emitted.blocks = WriteStarts(starts, writer);
  return emitted;
}

}  // namespace

EmitResult EmitDelta(const std::vector<EmitTensor>& tensors, const EmitOptions& options,
                     const std::shared_ptr<File>& out, uint64_t offset, RunControl& control) {
  const uint32_t key = options.threshold.key;
  if (key >= kKeyEnd && key != kKeepNothing) {
    throw Error("INVALID_ARGUMENT", "threshold key " + std::to_string(key) + " is no magnitude");
  }
  if (offset % kAlignment != 0) {
    throw Error("INVALID_ARGUMENT", "offset " + std::to_string(offset) + " is not a multiple of 8");
  }
  control.ThrowIfCancelled();
  CheckWritable("delta", "out", out.get());
  Buffers buffers(control.threads());
  ArrayWriter writer(out, offset);
  EmitResult result;
  result.ties = options.threshold.ties;
  for (const EmitTensor& tensor : tensors) {
    CheckOperandLength(tensor.name, "task", tensor.task.region, tensor.elements, tensor.task.dtype);
    CheckOperandLength(tensor.name, "merged", tensor.merged, tensor.elements, tensor.dtype);
    if (options.threshold.key == kKeepNothing) {
      EmittedTensor nothing;
      nothing.block_count = BlockCount(tensor.elements);
      result.tensors.push_back(nothing);
      continue;
    }
    NamingTensor(tensor.name, [&] {
      result.tensors.push_back(EmitTensorDelta(tensor, options, &result.ties, writer, buffers, control));
    });
  }
  result.offset = writer.offset();
  return result;
}

}  // namespace taskfold
