#include "ops/task_vector.h"

#include <bit>

#include "backend/registry.h"
#include "core/block_scatter.h"
#include "core/thread_pool.h"
#include "ops/fingerprint.h"
#include "ops/non_finite.h"
#include "ops/operand_reader.h"
#include "ops/work_list.h"

namespace taskfold {
namespace {

// Base, tasks and θ* of one piece should stay in the second-level cache together; pieces below the minimum
// would cost more in system calls than they save.
constexpr size_t kCacheBytes = size_t{1} << 20;
constexpr size_t kMinPieceBytes = 32768;
// Residuals are tallied in runs whose θ* and keys stay in the first-level cache.
constexpr size_t kTallyRun = 4096;

enum Slot : size_t { kLeafOut, kKeys, kBase, kTasks = kBase + 3 };

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

/// Elements of a piece: a power of two, so that pieces tile a leaf.
size_t PieceElements(size_t item, size_t tasks) {
  const size_t bytes = std::clamp(std::bit_floor(kCacheBytes / (tasks + 2)), kMinPieceBytes, kLeafBytes);
  return std::min<size_t>(bytes / item, TF_MAX_PIECE);
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

/// Tallies one piece of one task into the selection. False when it holds a NaN and that is an error.
bool CountPiece(const TfBackend& backend, Dtype dtype, size_t n, const void* merged, const void* task_values,
                size_t task, bool keep_non_finite, Selection& selection, Scratch& scratch) {
  const size_t item = ItemSize(dtype);
  const TfWindow window = selection.Window(task);
  TfTally tally;
  tally.keys = scratch.Array<uint32_t>(kKeys, kTallyRun);
  for (size_t i = 0; i < n; i += kTallyRun) {
    const size_t run = std::min(kTallyRun, n - i);
    const void* merged_run = merged ? At(merged, i, item) : nullptr;
    backend.tally(static_cast<int32_t>(dtype), run, merged_run, At(task_values, i, item), window, &tally);
    if (tally.has_nan && !keep_non_finite) return false;
    selection.Count(task, tally);
  }
  return true;
}

}  // namespace

namespace {

void CheckTasks(const std::string& name, uint64_t elements, const std::vector<Operand>& operands,
                size_t tasks) {
  if (operands.size() != tasks) {
    throw Error("INVALID_ARGUMENT",
                name + ": " + std::to_string(operands.size()) + " tasks, expected " + std::to_string(tasks))
        .Tensor(name);
  }
  for (const Operand& task : operands) CheckOperandLength(name, "task", task.region, elements, task.dtype);
}

}  // namespace

void CheckMergeTensor(const MergeTensor& tensor, size_t tasks) {
  CheckOperandLength(tensor.name, "base", tensor.base.region, tensor.elements, tensor.base.dtype);
  CheckTasks(tensor.name, tensor.elements, tensor.tasks, tasks);
  if (!tensor.out) return;
  CheckOperandLength(tensor.name, "out", *tensor.out, tensor.elements, tensor.dtype);
  CheckWritable(tensor.name, "out", tensor.out->file().get());
}

void CheckResidualTensor(const ResidualTensor& tensor, size_t tasks) {
  if (tensor.merged) CheckOperandLength(tensor.name, "merged", *tensor.merged, tensor.elements, tensor.dtype);
  CheckTasks(tensor.name, tensor.elements, tensor.tasks, tasks);
}

namespace {

/// Merges, counts and stores one leaf of a tensor; returns its digests.
struct LeafDigests {
  Digest merged, base;
};
LeafDigests MergeLeaf(const MergeTensor& tensor, uint64_t leaf, const MergeOptions& options, Scratch& scratch,
                      RunControl& control) {
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
        if (!CountPiece(backend, tensor.dtype, n, merged, inputs.tasks[t], t, options.keep_non_finite,
                        *options.selection, scratch)) {
          ThrowNonFinite(tensor.name, tensor.dtype, first + done, n, {inputs.base, merged, inputs.tasks, 0});
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

}  // namespace

MergeFingerprints MergeTensors(const std::vector<MergeTensor>& tensors, const MergeOptions& options,
                               RunControl& control) {
  control.ThrowIfCancelled();
  WorkList list;
  for (const MergeTensor& tensor : tensors) {
    CheckMergeTensor(tensor, options.selection ? options.selection->tasks() : tensor.tasks.size());
    list.Add(LeafCount(tensor.elements * ItemSize(tensor.dtype)));
  }
  if (options.selection) options.selection->BeginPass();
  std::vector<Digest> merged_leaves(list.items()), base_leaves(list.items());
  ScratchPerWorker scratches(control.threads());
  ParallelFor(list.items(), control.threads(), [&](size_t entry, unsigned worker) {
    control.ThrowIfCancelled();
    const auto [which, leaf] = list.Find(entry);
    const MergeTensor& tensor = tensors[which];
    NamingTensor(tensor.name, [&, number = leaf] {
      const LeafDigests digests = MergeLeaf(tensor, number, options, scratches[worker], control);
      merged_leaves[entry] = digests.merged;
      base_leaves[entry] = digests.base;
    });
  });
  MergeFingerprints result;
  for (size_t i = 0; i < tensors.size(); i++) {
    result.merged.push_back(CombineLeaves(merged_leaves.data() + list.First(i), list.Count(i)));
    // A converted base has other leaf borders than θ*: hash its own bytes on their own.
    result.base.push_back(tensors[i].base.dtype == tensors[i].dtype
                              ? CombineLeaves(base_leaves.data() + list.First(i), list.Count(i))
                              : FingerprintRegions({tensors[i].base.region}, control)[0]);
  }
  return result;
}

void CountResiduals(const std::vector<ResidualTensor>& tensors, Selection& selection, bool keep_non_finite,
                    RunControl& control) {
  control.ThrowIfCancelled();
  const TfBackend& backend = ActiveBackend();
  WorkList list;
  for (const ResidualTensor& tensor : tensors) {
    CheckResidualTensor(tensor, selection.tasks());
    list.Add(BlockCount(tensor.elements));
  }
  selection.BeginPass();
  ScratchPerWorker scratches(control.threads());
  ParallelFor(list.items(), control.threads(), [&](size_t entry, unsigned worker) {
    control.ThrowIfCancelled();
    Scratch& scratch = scratches[worker];
    const auto [which, piece] = list.Find(entry);
    const ResidualTensor& tensor = tensors[which];
    const uint64_t first = piece * TF_MAX_PIECE;
    const auto n = static_cast<size_t>(std::min<uint64_t>(TF_MAX_PIECE, tensor.elements - first));
    NamingTensor(tensor.name, [&] {
      const void* merged = tensor.merged ? ReadElements(backend, {*tensor.merged, tensor.dtype}, tensor.dtype,
                                                        first, n, scratch, kBase)
                                         : nullptr;
      for (size_t t = 0; t < tensor.tasks.size(); t++) {
        if (!selection.Active(t)) continue;
        const void* task = ReadElements(backend, tensor.tasks[t], tensor.dtype, first, n, scratch, kTasks);
        if (!CountPiece(backend, tensor.dtype, n, merged, task, t, keep_non_finite, selection, scratch)) {
          ThrowNonFinite(tensor.name, tensor.dtype, first, n, {nullptr, merged, {&task, 1}, t});
        }
      }
    });
    control.AddProgress(n * ItemSize(tensor.dtype) * (1 + tensor.tasks.size()));
  });
}

}  // namespace taskfold
