#include "ops/candidate_set.h"

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/block_marks.h"
#include "ops/non_finite.h"
#include "ops/operand_reader.h"

namespace taskfold {
namespace {

constexpr size_t kArenaChunk = size_t{4} << 20;

enum Slot : size_t { kTask, kMerged = kTask + 3, kBits = kMerged + 3, kKeys };

}  // namespace

uint8_t* CandidateSet::Arena::Take(size_t bytes) {
  bytes = (bytes + 63) & ~size_t{63};
  if (bytes > left_) {
    const size_t size = std::max(bytes, kArenaChunk) + 64;
    chunks_.emplace_back(new uint8_t[size]);
    at_ = chunks_.back().get();
    const size_t misaligned = reinterpret_cast<uintptr_t>(at_) % 64;
    if (misaligned != 0) at_ += 64 - misaligned;
    left_ = size - 64;
  }
  uint8_t* taken = at_;
  at_ += bytes;
  left_ -= bytes;
  return taken;
}

CandidateSet::CandidateSet(const ResidualTensor& tensor, uint32_t low, bool keep_non_finite,
                           RunControl& control)
    : dtype_(tensor.dtype),
      blocks_(BlockCount(tensor.elements)),
      arenas_(control.threads() == 0 ? MachineThreads() : control.threads()) {
  const TfBackend& backend = ActiveBackend();
  const size_t item = ItemSize(dtype_);
  const uint64_t most = tensor.elements / 2 + kBlockElements;
  std::atomic<uint64_t> total{0};
  ScratchPerWorker scratches(control.threads());
  ParallelFor(blocks_.size(), control.threads(), [&](size_t b, unsigned worker) {
    control.ThrowIfCancelled();
    if (total.load(std::memory_order_relaxed) > most) return;
    Scratch& scratch = scratches[worker];
    const uint64_t first = b * kBlockElements;
    const auto n = static_cast<size_t>(std::min<uint64_t>(kBlockElements, tensor.elements - first));
    const void* values = ReadElements(backend, tensor.tasks[0], dtype_, first, n, scratch, kTask);
    const void* merged =
        tensor.merged ? ReadElements(backend, {*tensor.merged, dtype_}, dtype_, first, n, scratch, kMerged)
                      : nullptr;
    auto* bits = scratch.Array<uint64_t>(kBits, kBlockWords);
    TfMarks marks;
    backend.mark(static_cast<int32_t>(dtype_), n, merged, values, low, bits, &marks);
    if (marks.has_nan && !keep_non_finite) {
      ThrowNonFinite(tensor.name, dtype_, first, n, {nullptr, merged, {&values, 1}, kOnlyTask});
    }
    if (total.fetch_add(marks.at_least, std::memory_order_relaxed) + marks.at_least > most) return;
    Arena& arena = arenas_[worker];
    Block& block = blocks_[b];
    block.count = marks.at_least;
    auto* positions = reinterpret_cast<uint16_t*>(arena.Take(block.count * sizeof(uint16_t)));
    backend.positions(n, bits, positions);
    block.positions = positions;
    uint8_t* kept = arena.Take(block.count * item);
    backend.gather(item, n, bits, values, kept);
    block.values = kept;
    if (merged) {
      uint8_t* shared = arena.Take(block.count * item);
      backend.gather(item, n, bits, merged, shared);
      block.merged = shared;
    }
    control.AddProgress(n * item * (merged ? 2 : 1));
  });
  complete_ = total.load() <= most;
}

void CandidateSet::Count(Selection& selection, RunControl& control) const {
  const TfBackend& backend = ActiveBackend();
  selection.BeginPass();
  const TfWindow window = selection.Window(0);
  ScratchPerWorker scratches(control.threads());
  ParallelFor(blocks_.size(), control.threads(), [&](size_t b, unsigned worker) {
    control.ThrowIfCancelled();
    const Block& block = blocks_[b];
    TfTally tally;
    tally.keys = scratches[worker].Array<uint32_t>(kKeys, kBlockElements);
    backend.tally(static_cast<int32_t>(dtype_), block.count, block.merged, block.values, window, &tally);
    selection.Count(0, tally);
  });
}

}  // namespace taskfold
