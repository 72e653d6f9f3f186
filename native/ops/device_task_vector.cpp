#include "ops/device_task_vector.h"

#include "core/block_scatter.h"
#include "ops/device_chunks.h"
#include "ops/device_counters.h"
#include "ops/merge_leaf.h"

namespace taskfold {
namespace {

enum Slot : size_t { kCounters, kOperands, kDigests };

/// How one tensor's chunks lie in a lane's memory: operands one after the other, then room for one that has
/// to be converted.
struct ChunkLayout {
  uint64_t chunk_elements = 0;
  uint64_t stride = 0;
  uint64_t raw = 0;
  uint64_t bytes = 0;
};

/// The chunks of all tensors, and the memory that the largest layout takes.
struct Plan {
  std::vector<ChunkLayout> layouts;
  WorkList list;
  uint64_t bytes = 0;

  /// False when a leaf of the tensor does not fit a lane.
  bool Add(const DeviceSet& devices, uint64_t elements, Dtype dtype, size_t operands, uint64_t raw_item,
           uint64_t fixed) {
    const uint64_t item = ItemSize(dtype);
    ChunkLayout layout;
    layout.chunk_elements = ChunkElements(devices, dtype, operands * item + raw_item, fixed);
    if (layout.chunk_elements == 0) return false;
    const uint64_t longest = std::min(layout.chunk_elements, elements);
    layout.stride = AlignForDevice(longest * item);
    layout.raw = operands * layout.stride;
    layout.bytes = layout.raw + longest * raw_item;
    bytes = std::max(bytes, layout.bytes);
    list.Add(ChunkCount(elements, layout.chunk_elements));
    layouts.push_back(layout);
    return true;
  }

  /// work(which tensor, chunk, worker) for every chunk of the tensors that were added.
  template <class Tensor, class Work>
  void ForEachChunk(const LaneLease& lanes, const std::vector<Tensor>& tensors, RunControl& control,
                    const Work& work) const {
    ForEachItem(lanes, list.items(), control, [&](size_t item, unsigned worker) {
      const auto [which, piece] = list.Find(item);
      const Tensor& tensor = tensors[which];
      const Chunk chunk = ChunkAt(piece, layouts[which].chunk_elements, tensor.elements);
      NamingTensor(tensor.name, [&, index = which] { work(index, chunk, worker); });
    });
  }
};

uint64_t RawItem(const std::vector<Operand>& operands, Dtype dtype) {
  uint64_t most = 0;
  for (const Operand& operand : operands) most = std::max(most, RawBytes(operand, dtype));
  return most;
}

void CheckTaskCount(size_t tasks) {
  if (tasks <= TF_CUDA_MAX_TASKS) return;
  throw Error("INVALID_ARGUMENT", std::to_string(tasks) + " tasks; a GPU merges at most " +
                                      std::to_string(TF_CUDA_MAX_TASKS) + " at once")
      .Hint("use --device cpu");
}

/// The CPU finds out which element of which operand it is.
[[noreturn]] void ExplainNaN(const std::string& name, const std::function<void()>& again) {
  again();
  throw Error("INTERNAL", "a GPU saw a NaN in " + name + " and the CPU does not find it").Tensor(name);
}

class Merge {
 public:
  Merge(DeviceSet& devices, const std::vector<MergeTensor>& tensors, const MergeOptions& options,
        const MergeLeaves& leaves, RunControl& control)
      : devices_(devices),
        tensors_(tensors),
        options_(options),
        leaves_(leaves),
        control_(control),
        counters_(options.selection, devices.lanes(), kCounters) {}

  bool Run() {
    for (const MergeTensor& tensor : tensors_) {
      CheckTaskCount(tensor.tasks.size());
      if (tensor.tasks.empty()) return false;
      const uint64_t raw = std::max(RawItem(tensor.tasks, tensor.dtype), RawBytes(tensor.base, tensor.dtype));
      if (!plan_.Add(devices_, tensor.elements, tensor.dtype, tensor.tasks.size() + 2, raw,
                     counters_.bytes())) {
        return false;
      }
    }
    const LaneLease lanes = devices_.Lease(control_);
    plan_.ForEachChunk(lanes, tensors_, control_, [&](size_t which, Chunk chunk, unsigned worker) {
      MergeChunk(which, chunk, lanes[worker], worker);
    });
    if (options_.selection) counters_.AddTo(*options_.selection, lanes);
    return true;
  }

 private:
  void MergeChunk(size_t which, Chunk chunk, Lane& lane, unsigned worker) {
    const MergeTensor& tensor = tensors_[which];
    const std::vector<tf_cuda_window>& windows = counters_.Windows(lane, worker);
    const ChunkLayout& layout = plan_.layouts[which];
    auto* memory = lane.Array<uint8_t>(kOperands, plan_.bytes);
    const auto operand = [&](size_t i) { return memory + i * layout.stride; };
    uint8_t* raw = memory + layout.raw;
    uint8_t* base = operand(0);
    uint8_t* merged = operand(1);
    std::vector<const void*> tasks;
    UploadElements(lane, tensor.base, tensor.dtype, chunk, base, raw);
    for (size_t t = 0; t < tensor.tasks.size(); t++) {
      UploadElements(lane, tensor.tasks[t], tensor.dtype, chunk, operand(2 + t), raw);
      tasks.push_back(operand(2 + t));
    }
    tf_cuda_merge_job job{};
    job.dtype = static_cast<int32_t>(tensor.dtype);
    job.task_count = static_cast<uint32_t>(tasks.size());
    job.elements = chunk.count;
    job.base = base;
    job.tasks = tasks.data();
    job.lambda = options_.lambda;
    job.merged = merged;
    if (options_.selection) {
      job.windows = windows.data();
    } else if (!options_.keep_non_finite) {
      job.merged_tally = windows[0].tally;
    }
    lane.Launch("merging", lane.cuda().merge, job);
    if (!options_.keep_non_finite && counters_.SawNaN(lane, worker)) Explain(tensor, chunk);
    Store(which, chunk, base, merged, lane);
    control_.AddProgress(chunk.count * ItemSize(tensor.dtype) * (1 + tasks.size()));
  }

  void Store(size_t which, Chunk chunk, const void* base, const void* merged, Lane& lane) {
    const MergeTensor& tensor = tensors_[which];
    const uint64_t item = ItemSize(tensor.dtype);
    const uint64_t bytes = chunk.count * item;
    const size_t leaf = leaves_.list.First(which) + static_cast<size_t>(chunk.first * item / kLeafBytes);
    void* digests = lane.Get(kDigests, LeafCount(plan_.layouts[which].stride) * sizeof(Digest));
    DownloadDigests(lane, merged, bytes, digests, leaves_.merged + leaf);
    if (tensor.base.dtype == tensor.dtype) {
      DownloadDigests(lane, base, bytes, digests, leaves_.base + leaf);
    }
    if (tensor.out) lane.Download(*tensor.out, chunk.first * item, merged, bytes);
  }

  void Explain(const MergeTensor& tensor, Chunk chunk) {
    ExplainNaN(tensor.name, [&] {
      Scratch scratch;
      const uint64_t leaf = LeafElements(tensor.dtype);
      for (uint64_t first = chunk.first; first < chunk.first + chunk.count; first += leaf) {
        MergeLeaf(tensor, first / leaf, options_, nullptr, scratch, control_);
      }
    });
  }

  DeviceSet& devices_;
  const std::vector<MergeTensor>& tensors_;
  const MergeOptions& options_;
  const MergeLeaves& leaves_;
  RunControl& control_;
  DeviceCounters counters_;
  Plan plan_;
};

class Count {
 public:
  Count(DeviceSet& devices, const std::vector<ResidualTensor>& tensors, Selection& selection,
        bool keep_non_finite, RunControl& control)
      : devices_(devices),
        tensors_(tensors),
        selection_(selection),
        keep_non_finite_(keep_non_finite),
        control_(control),
        counters_(&selection, devices.lanes(), kCounters) {}

  bool Run() {
    if (selection_.tasks() == 0) return false;
    for (const ResidualTensor& tensor : tensors_) {
      if (!plan_.Add(devices_, tensor.elements, tensor.dtype, 2, RawItem(tensor.tasks, tensor.dtype),
                     counters_.bytes())) {
        return false;
      }
    }
    const LaneLease lanes = devices_.Lease(control_);
    plan_.ForEachChunk(lanes, tensors_, control_, [&](size_t which, Chunk chunk, unsigned worker) {
      CountChunk(which, chunk, lanes[worker], worker);
    });
    counters_.AddTo(selection_, lanes);
    return true;
  }

 private:
  void CountChunk(size_t which, Chunk chunk, Lane& lane, unsigned worker) {
    const ResidualTensor& tensor = tensors_[which];
    const ChunkLayout& layout = plan_.layouts[which];
    const std::vector<tf_cuda_window>& windows = counters_.Windows(lane, worker);
    auto* memory = lane.Array<uint8_t>(kOperands, plan_.bytes);
    uint8_t* raw = memory + layout.raw;
    uint8_t* merged = tensor.merged ? memory : nullptr;
    uint8_t* values = memory + layout.stride;
    if (merged) UploadElements(lane, {*tensor.merged, tensor.dtype}, tensor.dtype, chunk, merged, nullptr);
    for (size_t t = 0; t < tensor.tasks.size(); t++) {
      if (!selection_.Active(t)) continue;
      UploadElements(lane, tensor.tasks[t], tensor.dtype, chunk, values, raw);
      tf_cuda_count_job job{};
      job.dtype = static_cast<int32_t>(tensor.dtype);
      job.elements = chunk.count;
      job.merged = merged;
      job.task = values;
      job.window = windows[t];
      lane.Launch("counting", lane.cuda().count, job);
    }
    if (!keep_non_finite_ && counters_.SawNaN(lane, worker)) Explain(tensor, chunk);
    control_.AddProgress(chunk.count * ItemSize(tensor.dtype) * (1 + tensor.tasks.size()));
  }

  void Explain(const ResidualTensor& tensor, Chunk chunk) {
    ExplainNaN(tensor.name, [&] {
      Scratch scratch;
      for (uint64_t first = chunk.first; first < chunk.first + chunk.count; first += kBlockElements) {
        CountBlock(tensor, first / kBlockElements, selection_, keep_non_finite_, scratch, control_);
      }
    });
  }

  DeviceSet& devices_;
  const std::vector<ResidualTensor>& tensors_;
  Selection& selection_;
  bool keep_non_finite_;
  RunControl& control_;
  DeviceCounters counters_;
  Plan plan_;
};

}  // namespace

bool MergeOnDevices(DeviceSet& devices, const std::vector<MergeTensor>& tensors, const MergeOptions& options,
                    const MergeLeaves& leaves, RunControl& control) {
  return Merge(devices, tensors, options, leaves, control).Run();
}

bool CountOnDevices(DeviceSet& devices, const std::vector<ResidualTensor>& tensors, Selection& selection,
                    bool keep_non_finite, RunControl& control) {
  return Count(devices, tensors, selection, keep_non_finite, control).Run();
}

}  // namespace taskfold
