#include "ops/merge_leaf.h"

#include <bit>
#include <cstring>

#include "backend/registry.h"
#include "ops/non_finite.h"
#include "ops/operand_reader.h"

namespace taskfold {
namespace {

// Base, tasks and θ* of one piece should stay in the second-level cache together; pieces below the minimum
// would cost more in system calls than they save.
constexpr size_t kCacheBytes = size_t{1} << 20;
constexpr size_t kMinPieceBytes = 32768;
// Residuals are tallied in runs whose θ* and keys stay in the first-level cache.
constexpr size_t kTallyRun = 4096;

enum Slot : size_t { kLeafOut, kKeys, kMarks, kInside, kSpilled, kBase, kTasks = kBase + 3 };

/// Reads one piece of base and tasks in the storage dtype.
struct PieceInputs {
  const void* base;
  std::vector<const void*> tasks;

  void Read(const TfBackend& backend, const MergeTensor& tensor, uint64_t first, size_t n, Scratch& scratch) {
    base = ReadElements(backend, tensor.base, tensor.dtype, first, n, scratch, kBase);
    tasks.resize(tensor.tasks.size());
    for (size_t t = 0; t < tasks.size(); t++) {
      tasks[t] = ReadElements(backend, tensor.tasks[t], tensor.dtype, first, n, scratch, kTasks + 3 * t);
    }
  }
};

const uint8_t* At(const void* bytes, size_t element, size_t item) {
  return static_cast<const uint8_t*>(bytes) + element * item;
}

/// Without a selection: a NaN of any operand makes θ* NaN.
void RefuseNaN(const TfBackend& backend, const MergeTensor& tensor, size_t n, uint64_t first,
               const PieceInputs& inputs, const void* merged, Scratch& scratch) {
  TfTally tally;
  tally.keys = scratch.Array<uint32_t>(kKeys, 1);
  backend.tally(static_cast<int32_t>(tensor.dtype), n, nullptr, merged, {kKeyEnd, kKeyEnd}, &tally);
  if (tally.has_nan)
    ThrowNonFinite(tensor.name, tensor.dtype, first, n, {inputs.base, merged, inputs.tasks, 0});
}

/// Marks of the runs of a piece, put together: [kBlockWords] each.
struct PieceMarks {
  uint64_t* marked;
  uint64_t* inside;
  uint32_t* keys;  // [n], those inside the window
  uint32_t count = 0;

  explicit PieceMarks(Scratch& scratch)
      : marked(scratch.Array<uint64_t>(kMarks, TF_MAX_PIECE / 64)),
        inside(scratch.Array<uint64_t>(kInside, TF_MAX_PIECE / 64)),
        keys(scratch.Array<uint32_t>(kKeys, TF_MAX_PIECE)) {}
};

/// Tallies one piece of one task into the selection, and its candidates into `marks` unless that is null.
/// False when it holds a NaN and that is an error.
bool CountPiece(const TfBackend& backend, Dtype dtype, size_t n, const void* merged, const void* task_values,
                size_t task, bool keep_non_finite, Selection& selection, PieceMarks* marks,
                Scratch& scratch) {
  const size_t item = ItemSize(dtype);
  const TfWindow window = selection.Window(task);
  TfTally tally;
  tally.keys = marks ? marks->keys : scratch.Array<uint32_t>(kKeys, kTallyRun);
  for (size_t i = 0; i < n; i += kTallyRun) {
    const size_t run = std::min(kTallyRun, n - i);
    const void* merged_run = merged ? At(merged, i, item) : nullptr;
    const void* values = At(task_values, i, item);
    if (marks) {
      uint64_t bits[2 * kTallyRun / 64];
      const size_t words = (run + 63) / 64;
      tally.keys = marks->keys + marks->count;
      backend.tally_marks(static_cast<int32_t>(dtype), run, merged_run, values, window, &tally, bits);
      memcpy(marks->marked + i / 64, bits, words * sizeof(uint64_t));
      memcpy(marks->inside + i / 64, bits + words, words * sizeof(uint64_t));
      marks->count += tally.inside;
    } else {
      backend.tally(static_cast<int32_t>(dtype), run, merged_run, values, window, &tally);
    }
    if (tally.has_nan && !keep_non_finite) return false;
    selection.Count(task, tally);
  }
  return true;
}

}  // namespace

size_t PieceElements(size_t item, size_t tasks) {
  const size_t bytes = std::clamp(std::bit_floor(kCacheBytes / (tasks + 2)), kMinPieceBytes, kLeafBytes);
  return std::min<size_t>(bytes / item, TF_MAX_PIECE);
}

LeafDigests MergeLeaf(const MergeTensor& tensor, uint64_t leaf, const MergeOptions& options,
                      CandidateSpill::Tensor* spilled, Scratch& scratch, RunControl& control) {
  const TfBackend& backend = ActiveBackend();
  const size_t item = ItemSize(tensor.dtype);
  const uint64_t first = leaf * (kLeafBytes / item);
  const auto count = static_cast<size_t>(std::min<uint64_t>(kLeafBytes / item, tensor.elements - first));
  uint8_t* out = scratch.Get(kLeafOut, kLeafBytes);
  LeafHasher merged_hash, base_hash;
  PieceInputs inputs;
  const size_t piece = PieceElements(item, tensor.tasks.size());
  for (size_t done = 0; done < count;) {
    const size_t n = std::min(piece, count - done);
    inputs.Read(backend, tensor, first + done, n, scratch);
    uint8_t* merged = out + done * item;
    backend.merge(static_cast<int32_t>(tensor.dtype), n, inputs.base, inputs.tasks.data(),
                  inputs.tasks.size(), options.lambda, merged);
    if (options.selection) {
      for (size_t t = 0; t < inputs.tasks.size(); t++) {
        const bool spill = spilled && spilled->columns[t].wanted;
        PieceMarks marks(scratch);
        if (!CountPiece(backend, tensor.dtype, n, merged, inputs.tasks[t], t, options.keep_non_finite,
                        *options.selection, spill ? &marks : nullptr, scratch)) {
          ThrowNonFinite(tensor.name, tensor.dtype, first + done, n, {inputs.base, merged, inputs.tasks, 0});
        }
        if (spill) {
          options.spill->Put(*spilled, t, first + done, n,
                             {marks.marked, marks.inside, marks.keys, marks.count}, inputs.tasks[t], scratch,
                             kSpilled);
        }
      }
    } else if (!options.keep_non_finite) {
      RefuseNaN(backend, tensor, n, first + done, inputs, merged, scratch);
    }
    merged_hash.Add(merged, n * item);
    if (tensor.base.dtype == tensor.dtype) base_hash.Add(inputs.base, n * item);
    done += n;
    control.AddProgress(n * item * (1 + inputs.tasks.size()));
  }
  if (tensor.out) tensor.out->Write(first * item, count * item, out);
  return {merged_hash.Finish(), base_hash.Finish()};
}

void CountBlock(const ResidualTensor& tensor, uint64_t block, Selection& selection, bool keep_non_finite,
                Scratch& scratch, RunControl& control) {
  const TfBackend& backend = ActiveBackend();
  const uint64_t first = block * TF_MAX_PIECE;
  const auto n = static_cast<size_t>(std::min<uint64_t>(TF_MAX_PIECE, tensor.elements - first));
  const void* merged = tensor.merged ? ReadElements(backend, {*tensor.merged, tensor.dtype}, tensor.dtype,
                                                    first, n, scratch, kBase)
                                     : nullptr;
  for (size_t t = 0; t < tensor.tasks.size(); t++) {
    if (!selection.Active(t)) continue;
    const void* task = ReadElements(backend, tensor.tasks[t], tensor.dtype, first, n, scratch, kTasks);
    if (!CountPiece(backend, tensor.dtype, n, merged, task, t, keep_non_finite, selection, nullptr,
                    scratch)) {
      ThrowNonFinite(tensor.name, tensor.dtype, first, n, {nullptr, merged, {&task, 1}, t});
    }
  }
  control.AddProgress(n * ItemSize(tensor.dtype) * (1 + tensor.tasks.size()));
}

}  // namespace taskfold
