#include "ops/delta_writer.h"

#include "backend/registry.h"
#include "core/thread_pool.h"

namespace taskfold {
namespace {

// A tensor's marks wait in memory until its number of kept entries says which index code is smaller; larger
// ones go through an unnamed file. 64 MiB of marks are 512 Mi elements.
constexpr uint64_t kMaxMarksInMemory = uint64_t{64} << 20;

StoredArray WriteIndex(IndexCode code, uint64_t elements, const MarkStore& marks,
                       const std::vector<uint64_t>& starts, ArrayWriter& writer, Scratch& scratch,
                       RunControl& control) {
  const TfBackend& backend = ActiveBackend();
  const uint64_t blocks = BlockCount(elements);
  const auto elements_of = [&](uint64_t block) {
    return static_cast<size_t>(std::min<uint64_t>(kBlockElements, elements - block * kBlockElements));
  };
  const size_t group = BlocksPerGroup(control.threads());
  writer.Begin();
  for (uint64_t first = 0; first < blocks; first += group) {
    control.ThrowIfCancelled();
    const auto count = static_cast<size_t>(std::min<uint64_t>(group, blocks - first));
    if (code == IndexCode::kBitmap) {
      for (uint64_t b = first; b < first + count; b++) {
        const size_t bytes = (elements_of(b) + 7) / 8;
        uint64_t words[kBlockWords];
        writer.Append(marks.Get(b, (bytes + 7) / 8, words), bytes);
      }
      continue;
    }
    const uint64_t kept = starts[first + count] - starts[first];
    auto* positions = scratch.Array<uint16_t>(0, kept);
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

}  // namespace

MarkStore::MarkStore(uint64_t blocks, const std::string& beside) {
  if (blocks * kBlockWords * 8 > kMaxMarksInMemory) {
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

EmittedTensor FinishTensor(const EmitTensor& tensor, IndexCode index, const MarkStore& marks,
                           const std::vector<uint64_t>& starts, ArrayWriter& writer, Scratch& scratch,
                           RunControl& control) {
  EmittedTensor emitted;
  emitted.block_count = starts.size() - 1;
  emitted.kept = starts.back();
  if (emitted.kept == 0) return emitted;
  emitted.value = writer.End();
  emitted.index = index;
  if (index == IndexCode::kAuto) {
    emitted.index = (tensor.elements + 7) / 8 < 2 * emitted.kept ? IndexCode::kBitmap : IndexCode::kU16;
  }
  emitted.index_bytes = WriteIndex(emitted.index, tensor.elements, marks, starts, writer, scratch, control);
  emitted.blocks = WriteStarts(starts, writer);
  return emitted;
}

}  // namespace taskfold
