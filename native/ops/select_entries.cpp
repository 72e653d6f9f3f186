#include "ops/select_entries.h"

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/block_marks.h"
#include "ops/candidate_set.h"
#include "ops/device_select_entries.h"
#include "ops/task_vector.h"

namespace taskfold {

namespace {

// Behind the slots that BlockMarker uses.
constexpr size_t kPositionsSlot = 8;

/// Collects kept entries of consecutive blocks into the result, in parallel.
class ResultWriter {
 public:
  ResultWriter(uint64_t elements, size_t item, uint64_t k, SelectedEntries* selected)
      : item_(item), k_(k), wide_(elements > kNarrowElements), selected_(selected) {
    if (wide_) {
      selected->wide_positions.resize(k);
    } else {
      selected->positions.resize(k);
    }
    selected->values.resize(k * item);
  }

  /// `positions[b]`: positions of a block's elements inside the block, null when they are all there.
  void Write(uint64_t first_block, const std::vector<MarkedBlock>& blocks, size_t count,
             const std::vector<const uint16_t*>& positions, std::vector<Scratch>& buffers,
             RunControl& control) {
    const TfBackend& backend = ActiveBackend();
    std::vector<uint64_t> starts(count);
    for (size_t b = 0; b < count; b++) {
      starts[b] = kept_;
      kept_ += blocks[b].kept;
    }
    if (kept_ > k_) return;  // the caller's memory changed meanwhile: Finish says so
    ParallelFor(count, control.threads(), [&](size_t b, unsigned) {
      const MarkedBlock& block = blocks[b];
      backend.gather(item_, block.elements, block.bits, block.values,
                     selected_->values.data() + starts[b] * item_);
      auto* within = buffers[b].Array<uint16_t>(kPositionsSlot, kBlockElements);
      if (positions[b]) {
        backend.gather(sizeof(uint16_t), block.elements, block.bits, positions[b], within);
      } else {
        backend.positions(block.elements, block.bits, within);
      }
      const uint64_t origin = (first_block + b) * kBlockElements;
      for (size_t i = 0; i < block.kept; i++) {
        if (wide_) {
          selected_->wide_positions[starts[b] + i] = static_cast<double>(origin + within[i]);
        } else {
          selected_->positions[starts[b] + i] = static_cast<uint32_t>(origin + within[i]);
        }
      }
    });
  }

  void Finish() const {
    if (kept_ == k_) return;
    throw Error("INPUT_CHANGED", "the values changed while they were ranked: " + std::to_string(kept_) +
                                     " entries where k = " + std::to_string(k_));
  }

 private:
  size_t item_;
  uint64_t k_;
  bool wide_;
  SelectedEntries* selected_;
  uint64_t kept_ = 0;
};

/// Marks the kept ones among the candidates of a group of blocks.
void MarkCandidates(const CandidateSet& candidates, Dtype dtype, const Threshold& threshold, uint64_t* ties,
                    size_t first, size_t count, std::vector<MarkedBlock>& blocks, RunControl& control) {
  const uint32_t key = MarkingKey(threshold, *ties);
  ParallelFor(count, control.threads(), [&](size_t b, unsigned) {
    const CandidateSet::Block& from = candidates.blocks()[first + b];
    MarkedBlock& block = blocks[b];
    block.elements = from.count;
    block.values = from.values;
    block.merged = from.merged;
    ActiveBackend().mark(static_cast<int32_t>(dtype), from.count, from.merged, from.values, key, block.bits,
                         &block.marks);
  });
  SettleTies(dtype, threshold, key, ties, blocks.data(), count);
}

}  // namespace

SelectedEntries SelectEntries(uint64_t elements, Dtype dtype, const Operand& task,
                              const std::optional<Region>& merged, uint64_t k, bool keep_non_finite,
                              RunControl& control) {
  control.ThrowIfCancelled();
  const std::string name = "values";
  const std::vector<ResidualTensor> tensors{{name, elements, dtype, merged, {task}}};
  Selection selection({{k, elements}});
  CheckResidualTensor(tensors[0], 1);
  if (DeviceSet* devices = control.devices()) {
    std::optional<SelectedEntries> found = SelectOnDevice(*devices, tensors[0], k, keep_non_finite, control);
    if (found) return std::move(*found);
  }
  std::optional<CandidateSet> candidates;
  if (selection.Active(0)) {
    SampleResiduals(tensors, selection, control);
    // Candidates are copied, so they must be few; and the sample must have found a lower bound at all.
    const uint32_t low = selection.Window(0).low;
    if (k <= elements / 4 && low > 0) {
      candidates.emplace(tensors[0], low, keep_non_finite, control);
      if (!candidates->complete()) candidates.reset();
    }
    const auto count = [&] {
      if (candidates) {
        candidates->Count(selection, control);
      } else {
        CountResiduals(tensors, selection, keep_non_finite, control);
      }
    };
    count();
    while (!selection.Advance()) {
      // Below the bound the candidates know nothing.
      if (selection.Window(0).low < low) candidates.reset();
      count();
    }
  }
  SelectedEntries selected;
  selected.threshold = selection.Thresholds()[0];
  if (selected.threshold.key == kKeepNothing) return selected;
  ResultWriter writer(elements, ItemSize(dtype), k, &selected);
  const BlockMarker marker({&name, elements, dtype, &task, merged ? &*merged : nullptr}, keep_non_finite);
  const size_t group = BlocksPerGroup(control.threads());
  std::vector<MarkedBlock> blocks(group);
  std::vector<Scratch> buffers(group);
  std::vector<const uint16_t*> positions(group, nullptr);
  uint64_t ties = selected.threshold.ties;
  for (uint64_t first = 0; first < BlockCount(elements); first += group) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(group, BlockCount(elements) - first));
    if (candidates) {
      MarkCandidates(*candidates, dtype, selected.threshold, &ties, first, count, blocks, control);
      for (size_t b = 0; b < count; b++) positions[b] = candidates->blocks()[first + b].positions;
    } else {
      marker.Mark(first, count, selected.threshold, &ties, blocks, buffers, control);
    }
    writer.Write(first, blocks, count, positions, buffers, control);
  }
  writer.Finish();
  return selected;
}

void ScatterEntries(uint8_t* target, uint64_t items, size_t item_size, const std::vector<uint64_t>& positions,
                    const uint8_t* values) {
  for (size_t i = 0; i < positions.size(); i++) {
    if (positions[i] >= items) {
      throw Error("INVALID_ARGUMENT", "positions[" + std::to_string(i) + "] is " +
                                          std::to_string(positions[i]) + ", the target has " +
                                          std::to_string(items) + " items")
          .Index(static_cast<int64_t>(i));
    }
  }
  for (size_t i = 0; i < positions.size(); i++) {
    memcpy(target + positions[i] * item_size, values + i * item_size, item_size);
  }
}

}  // namespace taskfold
