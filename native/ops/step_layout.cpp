#include "ops/step_layout.h"

#include <algorithm>

#include "core/block_scatter.h"

namespace taskfold {

StepLayout::StepLayout(const std::vector<CodedTensor>& tensors) {
  uint64_t joined = kBlockElements;  // elements of the open joint block; full: none is open
  for (size_t t = 0; t < tensors.size(); t++) {
    const uint64_t elements = tensors[t].elements();
    const bool large = elements >= kOwnBlocks;
    if (!large && joined + elements <= kBlockElements) {
      units_.back().tensors++;
      joined += elements;
      segments_++;
      continue;
    }
    units_.push_back({t, 1, blocks_, segments_});
    const uint64_t blocks = BlockCount(elements);
    blocks_ += blocks;
    segments_ += blocks;
    joined = large ? kBlockElements : elements;
  }
}

const StepUnit& StepLayout::UnitOfTensor(size_t tensor) const {
  return *std::prev(std::upper_bound(units_.begin(), units_.end(), tensor,
                                     [](size_t t, const StepUnit& unit) { return t < unit.tensor; }));
}

uint64_t StepLayout::Blocks(const StepUnit& unit) const {
  const bool last = &unit == &units_.back();
  return (last ? blocks_ : (&unit)[1].block) - unit.block;
}

}  // namespace taskfold
