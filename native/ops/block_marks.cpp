#include "ops/block_marks.h"

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/non_finite.h"
#include "ops/operand_reader.h"

namespace taskfold {
namespace {

enum Slot : size_t { kTask, kMerged = kTask + 3, kSlots };

/// Clears the marks of all but the first `keep` entries whose key equals the threshold.
void DropTies(Dtype dtype, const void* merged, const void* task, uint32_t threshold, uint64_t keep,
              MarkedBlock& block) {
  VisitDtype(dtype, [&]<Dtype kDtype>() {
    using Raw = typename Storage<kDtype>::Raw;
    const auto* values = static_cast<const Raw*>(task);
    const auto* shared = static_cast<const Raw*>(merged);
    for (size_t w = 0; w < (block.elements + 63) / 64; w++) {
      for (uint64_t word = block.bits[w]; word != 0; word &= word - 1) {
        const auto bit = static_cast<size_t>(__builtin_ctzll(word));
        const size_t i = w * 64 + bit;
        float u = Storage<kDtype>::Widen(values[i]);
        if (shared) u = u - Storage<kDtype>::Widen(shared[i]);
        if (MagnitudeKey(u) != threshold) continue;
        if (keep > 0) {
          keep--;
        } else {
          block.bits[w] &= ~(uint64_t{1} << bit);
        }
      }
    }
  });
}

}  // namespace

size_t BlocksPerGroup(unsigned threads) {
  // Some blocks a thread even out their speeds; a block needs at most 0.8 MiB.
  return std::clamp<size_t>(size_t{threads == 0 ? MachineThreads() : threads} * 16, 32, 128);
}

uint32_t MarkingKey(const Threshold& threshold, uint64_t ties) {
  return ties == 0 ? threshold.key + 1 : threshold.key;
}

void SettleTies(Dtype dtype, const Threshold& threshold, uint32_t key, uint64_t* ties, MarkedBlock* blocks,
                size_t count) {
  for (size_t b = 0; b < count; b++) {
    MarkedBlock& block = blocks[b];
    if (key != threshold.key) {
      block.kept = block.marks.at_least;
      continue;
    }
    const uint64_t allowed = std::min<uint64_t>(*ties, block.marks.equal);
    *ties -= allowed;
    block.kept = block.marks.at_least - block.marks.equal + allowed;
    if (allowed == block.marks.equal) continue;
    DropTies(dtype, block.merged, block.values, threshold.key, allowed, block);
    // Counted again: the caller's memory may have changed since it was marked, and sizes must fit the marks.
    block.kept = 0;
    for (size_t w = 0; w < (block.elements + 63) / 64; w++) {
      block.kept += static_cast<uint64_t>(__builtin_popcountll(block.bits[w]));
    }
  }
}

void BlockMarker::Mark(uint64_t first_block, size_t count, Threshold threshold, uint64_t* ties,
                       std::vector<MarkedBlock>& blocks, std::vector<Scratch>& buffers,
                       RunControl& control) const {
  const TfBackend& backend = ActiveBackend();
  const uint32_t key = MarkingKey(threshold, *ties);
  ParallelFor(count, control.threads(), [&](size_t b, unsigned) {
    control.ThrowIfCancelled();
    const uint64_t first = (first_block + b) * kBlockElements;
    const auto n = static_cast<size_t>(std::min<uint64_t>(kBlockElements, source_.elements - first));
    Scratch& scratch = buffers[b];
    MarkedBlock& block = blocks[b];
    block.elements = n;
    block.values = ReadElements(backend, *source_.task, source_.dtype, first, n, scratch, kTask);
    block.merged = source_.merged ? ReadElements(backend, {*source_.merged, source_.dtype}, source_.dtype,
                                                 first, n, scratch, kMerged)
                                  : nullptr;
    backend.mark(static_cast<int32_t>(source_.dtype), n, block.merged, block.values, key, block.bits,
                 &block.marks);
    if (block.marks.has_nan && !keep_non_finite_) {
      ThrowNonFinite(*source_.name, source_.dtype, first, n,
                     {nullptr, block.merged, {&block.values, 1}, kOnlyTask});
    }
    control.AddProgress(n * ItemSize(source_.dtype) * (source_.merged ? 2 : 1));
  });
  SettleTies(source_.dtype, threshold, key, ties, blocks.data(), count);
}

}  // namespace taskfold
