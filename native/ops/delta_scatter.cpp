#include "ops/delta_scatter.h"

#include "core/thread_pool.h"
#include "ops/block_marks.h"
#include "ops/device_delta_scatter.h"
#include "ops/operand_reader.h"
#include "ops/work_list.h"

namespace taskfold {

std::unique_ptr<Remainder> OpenRemainder(const std::string& name, uint64_t elements, Dtype dtype,
                                         const std::optional<DeltaRegions>& delta,
                                         const std::optional<CodedRemainder>& coded) {
  if (coded) {
    const std::vector<CodedTensor>& tensors = coded->task->tensors();
    if (coded->tensor >= tensors.size()) {
      throw Error("INVALID_ARGUMENT",
                  name + ": the coded task has " + std::to_string(tensors.size()) + " tensors")
          .Tensor(name);
    }
    const CodedTensor& tensor = tensors[coded->tensor];
    if (tensor.elements() != elements || tensor.dtype != dtype) {
      throw Error("INVALID_ARGUMENT", name + ": coded with another size or dtype").Tensor(name);
    }
    return coded->task->Open(coded->tensor);
  }
  if (delta) return std::make_unique<DeltaDecoder>(name, elements, dtype, *delta);
  return nullptr;
}

namespace {

void ScatterOnCpu(const std::vector<ScatterTensor>& tensors,
                  const std::vector<std::unique_ptr<Remainder>>& remainders, RunControl& control) {
  WorkList list;
  for (const ScatterTensor& tensor : tensors) list.Add(BlockCount(tensor.elements));
  ScratchPerWorker scratches(control.threads());
  ParallelFor(list.items(), control.threads(), [&](size_t item, unsigned worker) {
    control.ThrowIfCancelled();
    Scratch& scratch = scratches[worker];
    const auto [which, block] = list.Find(item);
    const ScatterTensor& tensor = tensors[which];
    const size_t size = ItemSize(tensor.dtype);
    const uint64_t first = block * kBlockElements;
    const auto n = static_cast<size_t>(std::min(kBlockElements, tensor.elements - first));
    NamingTensor(tensor.name, [&, index = which, number = block] {
      uint8_t* dense = scratch.Get(0, n * size);
      tensor.merged.ReadTo(first * size, n * size, dense);
      if (remainders[index]) remainders[index]->Apply(number, n, dense, scratch, 1);
      if (!tensor.discard) tensor.out.Write(first * size, n * size, dense);
    });
    control.AddProgress(n * size);
  });
}

/// A GPU has kernels for these codes only.
bool FitsDevice(const std::vector<ScatterTensor>& tensors) {
  return std::none_of(tensors.begin(), tensors.end(), [](const ScatterTensor& t) {
    return t.discard || t.coded.has_value() || (t.delta && !t.delta->FitsDevice());
  });
}

}  // namespace

void ScatterTensors(const std::vector<ScatterTensor>& tensors, RunControl& control) {
  control.ThrowIfCancelled();
  for (const ScatterTensor& tensor : tensors) {
    CheckOperandLength(tensor.name, "merged", tensor.merged, tensor.elements, tensor.dtype);
    if (tensor.discard) continue;
    CheckOperandLength(tensor.name, "out", tensor.out, tensor.elements, tensor.dtype);
    CheckWritable(tensor.name, "out", tensor.out.file().get());
  }
  DeviceSet* devices = control.devices();
  if (devices && FitsDevice(tensors)) {
    std::vector<std::optional<DeltaDecoder>> decoders(tensors.size());
    for (size_t i = 0; i < tensors.size(); i++) {
      NamingTensor(tensors[i].name, [&, at = i] {
        const ScatterTensor& tensor = tensors[at];
        if (tensor.delta) decoders[at].emplace(tensor.name, tensor.elements, tensor.dtype, *tensor.delta);
      });
    }
    return ScatterOnDevices(*devices, tensors, decoders, control);
  }
  ScatterOnCpu(tensors, OpenRemainders(tensors), control);
}

}  // namespace taskfold
