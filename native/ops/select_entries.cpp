#include "ops/select_entries.h"

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/block_marks.h"
#include "ops/task_vector.h"

namespace taskfold {

namespace {
// Behind the slots that BlockMarker uses.
constexpr size_t kPositionsSlot = 8;
}  // namespace

SelectedEntries SelectEntries(uint64_t elements, Dtype dtype, const Operand& task,
                              const std::optional<Region>& merged, uint64_t k, bool keep_non_finite,
                              RunControl& control) {
  control.ThrowIfCancelled();
  const TfBackend& backend = ActiveBackend();
  const std::string name = "values";
  const std::vector<ResidualTensor> tensors{{name, elements, dtype, merged, {task}}};
  Selection selection({{k, elements}});
  CheckResidualTensor(tensors[0], 1);
  if (selection.Active(0)) {
    SampleResiduals(tensors, selection, control);
    do {
      CountResiduals(tensors, selection, keep_non_finite, control);
    } while (!selection.Advance());
  }
  SelectedEntries selected;
  selected.threshold = selection.Thresholds()[0];
  if (selected.threshold.key == kKeepNothing) return selected;
  const bool wide = elements > kNarrowElements;
  if (wide) {
    selected.wide_positions.resize(k);
  } else {
    selected.positions.resize(k);
  }
  const size_t item = ItemSize(dtype);
  selected.values.resize(k * item);
  const BlockMarker marker({&name, elements, dtype, &task, merged ? &*merged : nullptr}, keep_non_finite);
  const size_t group = BlocksPerGroup(control.threads());
  std::vector<MarkedBlock> blocks(group);
  std::vector<Scratch> buffers(group);
  std::vector<uint64_t> starts(group + 1);
  uint64_t ties = selected.threshold.ties;
  uint64_t kept = 0;
  for (uint64_t first = 0; first < BlockCount(elements); first += group) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(group, BlockCount(elements) - first));
    marker.Mark(first, count, selected.threshold, &ties, blocks, buffers, control);
    for (size_t b = 0; b < count; b++) {
      starts[b] = kept;
      kept += blocks[b].kept;
    }
    if (kept > k) break;
    ParallelFor(count, control.threads(), [&](size_t b, unsigned) {
      const MarkedBlock& block = blocks[b];
      backend.gather(item, block.elements, block.bits, block.values,
                     selected.values.data() + starts[b] * item);
      auto* within = buffers[b].Array<uint16_t>(kPositionsSlot, kBlockElements);
      const size_t found = backend.positions(block.elements, block.bits, within);
      const uint64_t origin = (first + b) * kBlockElements;
      for (size_t i = 0; i < found; i++) {
        if (wide) {
          selected.wide_positions[starts[b] + i] = static_cast<double>(origin + within[i]);
        } else {
          selected.positions[starts[b] + i] = static_cast<uint32_t>(origin + within[i]);
        }
      }
    });
  }
  if (kept != k) {
    throw Error("INPUT_CHANGED", "the values changed while they were ranked: " + std::to_string(kept) +
                                     " entries where k = " + std::to_string(k));
  }
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
