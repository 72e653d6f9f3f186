#include "ops/task_vector.h"

#include "core/block_scatter.h"
#include "core/thread_pool.h"
#include "ops/device_task_vector.h"
#include "ops/fingerprint.h"
#include "ops/merge_leaf.h"
#include "ops/operand_reader.h"
#include "ops/work_list.h"

namespace taskfold {
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

/// Where each tensor's candidates go; null: nowhere.
std::vector<std::shared_ptr<CandidateSpill::Tensor>> BeginSpill(const std::vector<MergeTensor>& tensors,
                                                                const MergeOptions& options) {
  std::vector<std::shared_ptr<CandidateSpill::Tensor>> spilled(tensors.size());
  if (!options.spill || !options.selection) return spilled;
  std::vector<TfWindow> windows;
  for (size_t t = 0; t < options.selection->tasks(); t++) windows.push_back(options.selection->Window(t));
  for (size_t i = 0; i < tensors.size(); i++) {
    const MergeTensor& tensor = tensors[i];
    const size_t piece = PieceElements(ItemSize(tensor.dtype), tensor.tasks.size());
    spilled[i] = options.spill->Begin(tensor.name, tensor.elements, tensor.dtype, piece, windows);
  }
  return spilled;
}

/// The leaves of all tensors on the CPU.
void MergeOnCpu(const std::vector<MergeTensor>& tensors, const MergeOptions& options,
                const MergeLeaves& leaves, RunControl& control) {
  ScratchPerWorker scratches(control.threads());
  const std::vector<std::shared_ptr<CandidateSpill::Tensor>> spilled = BeginSpill(tensors, options);
  ParallelFor(leaves.list.items(), control.threads(), [&](size_t entry, unsigned worker) {
    control.ThrowIfCancelled();
    const auto [which, leaf] = leaves.list.Find(entry);
    const MergeTensor& tensor = tensors[which];
    NamingTensor(tensor.name, [&, place = which, number = leaf] {
      const LeafDigests digests =
          MergeLeaf(tensor, number, options, spilled[place].get(), scratches[worker], control);
      leaves.merged[entry] = digests.merged;
      leaves.base[entry] = digests.base;
    });
  });
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

MergeFingerprints MergeTensors(const std::vector<MergeTensor>& tensors, const MergeOptions& options,
                               RunControl& control) {
  control.ThrowIfCancelled();
  WorkList list;
  for (const MergeTensor& tensor : tensors) {
    CheckMergeTensor(tensor, options.selection ? options.selection->tasks() : tensor.tasks.size());
    list.Add(LeafCount(tensor.elements * ItemSize(tensor.dtype)));
  }
  if (options.spill && options.selection && options.spill->tasks() != options.selection->tasks()) {
    throw Error("INVALID_ARGUMENT", "the spill has " + std::to_string(options.spill->tasks()) +
                                        " tasks, the selection " +
                                        std::to_string(options.selection->tasks()));
  }
  if (options.selection) options.selection->BeginPass();
  std::vector<Digest> merged_leaves(list.items()), base_leaves(list.items());
  const MergeLeaves leaves{list, merged_leaves.data(), base_leaves.data()};
  DeviceSet* devices = control.devices();
  if (!devices || !MergeOnDevices(*devices, tensors, options, leaves, control)) {
    MergeOnCpu(tensors, options, leaves, control);
  }
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
  WorkList list;
  for (const ResidualTensor& tensor : tensors) {
    CheckResidualTensor(tensor, selection.tasks());
    list.Add(BlockCount(tensor.elements));
  }
  selection.BeginPass();
  DeviceSet* devices = control.devices();
  if (devices && CountOnDevices(*devices, tensors, selection, keep_non_finite, control)) return;
  ScratchPerWorker scratches(control.threads());
  ParallelFor(list.items(), control.threads(), [&](size_t entry, unsigned worker) {
    control.ThrowIfCancelled();
    const auto [which, block] = list.Find(entry);
    NamingTensor(tensors[which].name, [&, index = which, number = block] {
      CountBlock(tensors[index], number, selection, keep_non_finite, scratches[worker], control);
    });
  });
}

}  // namespace taskfold
