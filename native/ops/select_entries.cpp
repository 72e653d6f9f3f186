#include "ops/select_entries.h"

#include "backend/registry.h"
#include "ops/block_marks.h"
#include "ops/task_vector.h"

namespace taskfold {

SelectedEntries SelectEntries(uint64_t elements, Dtype dtype, const Operand& task, const std::optional<Region>& merged,
                              uint64_t k, bool keep_non_finite, RunControl& control) {
  const TfBackend& backend = ActiveBackend();
  const std::string name = "values";
  Selection selection({{k, elements}});
  do {
    CountResiduals({{name, elements, dtype, merged, {task}}}, selection, keep_non_finite, control);
  } while (!selection.Advance());
  SelectedEntries selected;
  selected.threshold = selection.Thresholds()[0];
  selected.positions.reserve(k);
  selected.values.resize(k * ItemSize(dtype));
  if (selected.threshold.key == kKeepNothing) return selected;
  const BlockMarker marker({&name, elements, dtype, &task, merged ? &*merged : nullptr}, keep_non_finite);
  const size_t group = BlocksPerGroup(control.threads());
  std::vector<MarkedBlock> blocks(group);
  std::vector<Scratch> buffers(group);
  uint64_t ties = selected.threshold.ties;
  std::vector<uint16_t> within(kBlockElements);
  for (uint64_t first = 0; first < BlockCount(elements); first += group) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(group, BlockCount(elements) - first));
    marker.Mark(first, count, selected.threshold, &ties, blocks, buffers, control);
    for (size_t b = 0; b < count; b++) {
      const MarkedBlock& block = blocks[b];
      backend.gather(ItemSize(dtype), block.elements, block.bits, block.values,
                     selected.values.data() + selected.positions.size() * ItemSize(dtype));
      const size_t kept = backend.positions(block.elements, block.bits, within.data());
      for (size_t i = 0; i < kept; i++) selected.positions.push_back((first + b) * kBlockElements + within[i]);
    }
  }
  return selected;
}

void ScatterEntries(uint8_t* target, uint64_t items, size_t item_size, const std::vector<uint64_t>& positions,
                    const uint8_t* values) {
  for (size_t i = 0; i < positions.size(); i++) {
    if (positions[i] >= items) {
      throw Error("INVALID_ARGUMENT", "positions[" + std::to_string(i) + "] is " + std::to_string(positions[i]) +
                                          ", the target has " + std::to_string(items) + " items")
          .Index(static_cast<int64_t>(i));
    }
  }
  for (size_t i = 0; i < positions.size(); i++) {
    memcpy(target + positions[i] * item_size, values + i * item_size, item_size);
  }
}

}  // namespace taskfold
