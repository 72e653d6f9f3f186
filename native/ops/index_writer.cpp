#include "ops/index_writer.h"

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/block_streams.h"

namespace taskfold {

IndexWriter::IndexWriter(const EmitTensor& tensor, IndexCode wanted, const MarkStore& marks,
                         const std::vector<uint64_t>& starts, RunControl& control)
    : elements_(tensor.elements), code_(wanted), marks_(marks), starts_(starts), control_(control) {
  const uint64_t kept = starts.back();
  if (wanted == IndexCode::kAll && kept != elements_) {
    throw Error("INVALID_ARGUMENT", tensor.name + ": index all keeps every entry, but only " +
                                        std::to_string(kept) + " of " + std::to_string(elements_) +
                                        " are wanted")
        .Tensor(tensor.name);
  }
  if (wanted == IndexCode::kAuto && kept == elements_) code_ = IndexCode::kAll;
  if (code_ == IndexCode::kAuto || code_ == IndexCode::kRice) ChooseParameters();
  if (code_ != IndexCode::kAuto) return;
  uint64_t least = 2 * kept;
  code_ = IndexCode::kU16;
  if ((elements_ + 7) / 8 < least) {
    least = (elements_ + 7) / 8;
    code_ = IndexCode::kBitmap;
  }
  if (BlockStreams::OffsetBytes(elements_) + rice_offsets_.back() < least) code_ = IndexCode::kRice;
}

template <class F>
void IndexWriter::ForEachGroup(const F& each) {
  const uint64_t blocks = starts_.size() - 1;
  const size_t group = BlocksPerGroup(control_.threads());
  for (uint64_t first = 0; first < blocks; first += group) {
    control_.ThrowIfCancelled();
    each(first, static_cast<size_t>(std::min<uint64_t>(group, blocks - first)));
  }
}

size_t IndexWriter::ElementsOf(uint64_t block) const {
  return static_cast<size_t>(std::min<uint64_t>(kBlockElements, elements_ - block * kBlockElements));
}

size_t IndexWriter::Gaps(uint64_t block, uint16_t* gaps) const {
  const size_t n = ElementsOf(block);
  uint64_t words[kBlockWords];
  const size_t count = ActiveBackend().positions(n, marks_.Get(block, (n + 63) / 64, words), gaps);
  GapsOf(gaps, count, gaps);
  return count;
}

void IndexWriter::ChooseParameters() {
  const uint64_t blocks = starts_.size() - 1;
  rice_.resize(blocks);
  ScratchPerWorker scratches(control_.threads());
  ParallelFor(static_cast<size_t>(blocks), control_.threads(), [&](size_t b, unsigned worker) {
    control_.ThrowIfCancelled();
    if (starts_[b + 1] == starts_[b]) return;
    auto* gaps = scratches[worker].Array<uint16_t>(0, kBlockElements);
    rice_[b] = ChooseRice(gaps, Gaps(b, gaps));
  });
  rice_offsets_.assign(1, 0);
  for (const RiceChoice& choice : rice_) rice_offsets_.push_back(rice_offsets_.back() + choice.bytes);
}

StoredArray IndexWriter::Write(ArrayWriter& writer, Scratch& scratch) {
  writer.Begin();
  if (code_ == IndexCode::kRice) {
    const std::vector<uint8_t> offsets = BlockStreams::Encode(elements_, rice_offsets_);
    writer.Append(offsets.data(), offsets.size());
  }
  ForEachGroup([&](uint64_t first, size_t count) {
    if (code_ == IndexCode::kBitmap) return WriteBitmap(first, count, writer);
    if (code_ == IndexCode::kRice) return WriteRiceStreams(first, count, writer, scratch);
    WritePositions(first, count, writer, scratch);
  });
  return writer.End();
}

void IndexWriter::WriteBitmap(uint64_t first, size_t count, ArrayWriter& writer) {
  for (uint64_t b = first; b < first + count; b++) {
    const size_t bytes = (ElementsOf(b) + 7) / 8;
    uint64_t words[kBlockWords];
    writer.Append(marks_.Get(b, (bytes + 7) / 8, words), bytes);
  }
}

void IndexWriter::WritePositions(uint64_t first, size_t count, ArrayWriter& writer, Scratch& scratch) {
  const uint64_t kept = starts_[first + count] - starts_[first];
  auto* positions = scratch.Array<uint16_t>(0, kept);
  ParallelFor(count, control_.threads(), [&](size_t b, unsigned) {
    const size_t n = ElementsOf(first + b);
    uint64_t words[kBlockWords];
    ActiveBackend().positions(n, marks_.Get(first + b, (n + 63) / 64, words),
                              positions + (starts_[first + b] - starts_[first]));
  });
  writer.Append(positions, kept * sizeof(uint16_t));
}

void IndexWriter::WriteRiceStreams(uint64_t first, size_t count, ArrayWriter& writer, Scratch& scratch) {
  const uint64_t kept = starts_[first + count] - starts_[first];
  const uint64_t bytes = rice_offsets_[first + count] - rice_offsets_[first];
  auto* gaps = scratch.Array<uint16_t>(0, kept);
  uint8_t* streams = scratch.Get(1, bytes);
  ParallelFor(count, control_.threads(), [&](size_t b, unsigned) {
    auto* own = gaps + (starts_[first + b] - starts_[first]);
    const size_t entries = Gaps(first + b, own);
    if (entries == 0) return;
    WriteRice(own, entries, rice_[first + b], streams + (rice_offsets_[first + b] - rice_offsets_[first]));
  });
  writer.Append(streams, bytes);
}

}  // namespace taskfold
