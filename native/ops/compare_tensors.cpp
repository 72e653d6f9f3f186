#include "ops/compare_tensors.h"

#include <cmath>

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/block_marks.h"
#include "ops/operand_reader.h"
#include "ops/work_list.h"

namespace taskfold {
namespace {

enum Slot : size_t {
  kDense,
  kMergedWide,
  kRestoredWide,
  kOriginalWide,
  kMarks,
  kDelta,
  kOriginal = kDelta + Remainder::kSlots
};

/// Items whose bits differ, and how many of them are marked (bits null: none are).
void CountDiffering(size_t item, size_t n, uint64_t first, const uint8_t* restored, const uint8_t* original,
                    const uint64_t* bits, TensorDifference* block) {
  if (memcmp(restored, original, n * item) == 0) return;
  for (size_t i = 0; i < n; i++) {
    if (memcmp(restored + i * item, original + i * item, item) == 0) continue;
    block->differing++;
    if (block->first_different < 0) block->first_different = static_cast<int64_t>(first + i);
    if (bits && (bits[i / 64] >> (i % 64) & 1)) block->kept_differing++;
  }
}

TensorDifference CompareBlock(const CompareTensor& tensor, const Remainder* remainder, uint64_t block,
                              Scratch& scratch) {
  const TfBackend& backend = ActiveBackend();
  const auto dtype = static_cast<int32_t>(tensor.dtype);
  const size_t item = ItemSize(tensor.dtype);
  const uint64_t first = block * kBlockElements;
  const auto n = static_cast<size_t>(std::min(kBlockElements, tensor.elements - first));
  uint8_t* dense = scratch.Get(kDense, n * item);
  tensor.merged.ReadTo(first * item, n * item, dense);
  float* merged = scratch.Array<float>(kMergedWide, n);
  backend.widen(dtype, n, dense, merged);
  uint64_t* bits = nullptr;
  if (remainder) {
    if (remainder->Exact()) {
      bits = scratch.Array<uint64_t>(kMarks, kBlockWords);
      remainder->Marks(block, n, bits, scratch, kDelta);
    }
    remainder->Apply(block, n, dense, scratch, kDelta);
  }
  const auto* original_bytes = static_cast<const uint8_t*>(
      ReadElements(backend, tensor.against, tensor.dtype, first, n, scratch, kOriginal));
  TensorDifference difference;
  CountDiffering(item, n, first, dense, original_bytes, bits, &difference);
  float* restored = scratch.Array<float>(kRestoredWide, n);
  float* original = scratch.Array<float>(kOriginalWide, n);
  backend.widen(dtype, n, dense, restored);
  backend.widen(dtype, n, original_bytes, original);
  for (size_t i = 0; i < n; i++) {
    const double truth = original[i];
    const double residual = FloatBits(original[i]) == FloatBits(merged[i]) ? 0 : truth - merged[i];
    const double error = FloatBits(original[i]) == FloatBits(restored[i]) ? 0 : truth - restored[i];
    difference.original_squared += truth * truth;
    difference.residual_squared += residual * residual;
    difference.error_squared += error * error;
    difference.max_abs = std::max(difference.max_abs, std::fabs(error));
  }
  return difference;
}

void AddBlock(const TensorDifference& block, TensorDifference* total) {
  total->differing += block.differing;
  if (total->first_different < 0) total->first_different = block.first_different;
  total->max_abs = std::max(total->max_abs, block.max_abs);
  total->error_squared += block.error_squared;
  total->residual_squared += block.residual_squared;
  total->original_squared += block.original_squared;
  total->kept_differing += block.kept_differing;
}

}  // namespace

std::vector<TensorDifference> CompareTensors(const std::vector<CompareTensor>& tensors, RunControl& control) {
  control.ThrowIfCancelled();
  WorkList list;
  for (const CompareTensor& tensor : tensors) {
    CheckOperandLength(tensor.name, "merged", tensor.merged, tensor.elements, tensor.dtype);
    CheckOperandLength(tensor.name, "against", tensor.against.region, tensor.elements, tensor.against.dtype);
    list.Add(BlockCount(tensor.elements));
  }
  const std::vector<std::unique_ptr<Remainder>> remainders = OpenRemainders(tensors);
  std::vector<TensorDifference> blocks(list.items());
  ScratchPerWorker scratches(control.threads());
  ParallelFor(list.items(), control.threads(), [&](size_t item, unsigned worker) {
    control.ThrowIfCancelled();
    const auto [which, block] = list.Find(item);
    NamingTensor(tensors[which].name, [&, at = which, number = block] {
      blocks[item] = CompareBlock(tensors[at], remainders[at].get(), number, scratches[worker]);
    });
    control.AddProgress(std::min(kBlockElements, tensors[which].elements - block * kBlockElements) * 2 *
                        ItemSize(tensors[which].dtype));
  });
  std::vector<TensorDifference> totals(tensors.size());
  for (size_t i = 0; i < tensors.size(); i++) {
    for (size_t b = 0; b < list.Count(i); b++) AddBlock(blocks[list.First(i) + b], &totals[i]);
  }
  return totals;
}

}  // namespace taskfold
