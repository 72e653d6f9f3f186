#include "ops/emit_delta.h"

#include <memory>

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/block_marks.h"
#include "ops/delta_writer.h"
#include "ops/device_emit_delta.h"
#include "ops/emit_spilled.h"
#include "ops/operand_reader.h"

namespace taskfold {
namespace {

/// Marks a tensor, and writes its values, on the CPU.
class CpuEmitter {
 public:
  explicit CpuEmitter(unsigned threads)
      : group_(BlocksPerGroup(threads)), blocks_(group_), scratch_(group_) {}

  void Emit(const EmitTensor& tensor, const EmitOptions& options, uint64_t* ties, ValueStore& kept_values,
            MarkStore& marks, std::vector<uint64_t>& starts, RunControl& control) {
    const TfBackend& backend = ActiveBackend();
    const size_t item = ItemSize(tensor.dtype);
    const uint64_t total = BlockCount(tensor.elements);
    const BlockMarker marker({&tensor.name, tensor.elements, tensor.dtype, &tensor.task, &tensor.merged},
                             options.keep_non_finite);
    for (uint64_t first = 0; first < total; first += group_) {
      const auto count = static_cast<size_t>(std::min<uint64_t>(group_, total - first));
      marker.Mark(first, count, options.threshold, ties, blocks_, scratch_, control);
      for (size_t b = 0; b < count; b++) {
        starts.push_back(starts.back() + blocks_[b].kept);
        marks.Put(first + b, blocks_[b].bits, (blocks_[b].elements + 63) / 64 * 8);
      }
      const uint64_t kept = starts[first + count] - starts[first];
      uint8_t* values = gathered_.Get(0, kept * item);
      ParallelFor(count, control.threads(), [&](size_t b, unsigned) {
        const MarkedBlock& block = blocks_[b];
        backend.gather(item, block.elements, block.bits, block.values,
                       values + (starts[first + b] - starts[first]) * item);
      });
      kept_values.Put(starts[first] * item, values, kept * item);
    }
  }

 private:
  size_t group_;
  std::vector<MarkedBlock> blocks_;
  std::vector<Scratch> scratch_;
  Scratch gathered_;
};

/// Everything that lives through a whole job.
class Emitter {
 public:
  Emitter(const std::vector<EmitTensor>& tensors, const EmitOptions& options, RunControl& control)
      : options_(options), control_(control) {
    if (control.devices()) {
      device_ = std::make_unique<DeviceEmitter>(*control.devices(), tensors, options, control);
    } else {
      cpu_ = std::make_unique<CpuEmitter>(control.threads());
    }
  }

  EmittedTensor Emit(const EmitTensor& tensor, uint64_t* ties, ArrayWriter& writer) {
    const uint64_t blocks = BlockCount(tensor.elements);
    MarkStore marks(blocks, writer.path());
    std::vector<uint64_t> starts{0};
    starts.reserve(blocks + 1);
    writer.Begin();
    ValueStore values(tensor.elements * ItemSize(tensor.dtype), options_.values != ValueCode::kPlain, writer);
    const CandidateSpill* spill = options_.spill;
    const CandidateSpill::Tensor* spilled =
        spill ? spill->Find(tensor.name, options_.spill_task, tensor.elements, tensor.dtype,
                            options_.threshold.key)
              : nullptr;
    if (spilled) {
      if (!spilled_) spilled_ = std::make_unique<SpillEmitter>(control_.threads());
      spilled_->Emit(*spill, *spilled, options_.spill_task, options_.threshold, ties, values, marks, starts,
                     control_);
    } else if (device_) {
      device_->Emit(tensor, ties, values, marks, starts);
    } else {
      cpu_->Emit(tensor, options_, ties, values, marks, starts, control_);
    }
    return FinishTensor(tensor, options_, values, marks, starts, writer, scratch_, control_);
  }

 private:
  const EmitOptions& options_;
  RunControl& control_;
  std::unique_ptr<CpuEmitter> cpu_;
  std::unique_ptr<DeviceEmitter> device_;
  std::unique_ptr<SpillEmitter> spilled_;
  Scratch scratch_;
};

}  // namespace

EmitResult EmitDelta(const std::vector<EmitTensor>& tensors, const EmitOptions& options,
                     const std::shared_ptr<File>& out, uint64_t offset, RunControl& control) {
  const uint32_t key = options.threshold.key;
  if (key >= kKeyEnd && key != kKeepNothing) {
    throw Error("INVALID_ARGUMENT", "threshold key " + std::to_string(key) + " is no magnitude");
  }
  if (offset % kArrayAlignment != 0) {
    throw Error("INVALID_ARGUMENT", "offset " + std::to_string(offset) + " is not a multiple of 8");
  }
  control.ThrowIfCancelled();
  CheckWritable("delta", "out", out.get());
  std::unique_ptr<Emitter> emitter;  // its lanes only when they are needed
  ArrayWriter writer(out, offset);
  EmitResult result;
  result.ties = options.threshold.ties;
  for (const EmitTensor& tensor : tensors) {
    CheckOperandLength(tensor.name, "task", tensor.task.region, tensor.elements, tensor.task.dtype);
    CheckOperandLength(tensor.name, "merged", tensor.merged, tensor.elements, tensor.dtype);
    if (options.threshold.key == kKeepNothing) {
      EmittedTensor nothing;
      nothing.block_count = BlockCount(tensor.elements);
      result.tensors.push_back(nothing);
      continue;
    }
    if (!emitter) emitter = std::make_unique<Emitter>(tensors, options, control);
    NamingTensor(tensor.name, [&] { result.tensors.push_back(emitter->Emit(tensor, &result.ties, writer)); });
  }
  result.offset = writer.offset();
  return result;
}

}  // namespace taskfold
