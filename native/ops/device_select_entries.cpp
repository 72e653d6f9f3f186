#include "ops/device_select_entries.h"

#include "core/block_scatter.h"
#include "ops/device_chunks.h"
#include "ops/device_counters.h"

namespace taskfold {
namespace {

enum Slot : size_t { kOperands, kCounters };
// A selection with one task counts in at most 2^21 bins.
constexpr uint64_t kMostCounterBytes = (uint64_t{1} << 21) * 8 + 256;

/// Everything but the counters, in one slot.
struct Layout {
  uint64_t merged, raw, values, positions, above, equal, keep_equal, starts, ties, tally, bytes;

  Layout(uint64_t elements, uint64_t k, uint64_t item, uint64_t raw_item) {
    const uint64_t blocks = BlockCount(elements);
    DeviceLayout layout;
    layout.Take(elements * item);  // the task's elements
    merged = layout.Take(elements * item);
    raw = layout.Take(elements * raw_item);
    values = layout.Take(k * item);
    positions = layout.Take(k * 2);
    above = layout.Take(blocks * 4);
    equal = layout.Take(blocks * 4);
    keep_equal = layout.Take(blocks * 4);
    starts = layout.Take((blocks + 1) * 8);
    ties = layout.Take(8);
    tally = layout.Take(sizeof(tf_cuda_tally));
    bytes = layout.bytes();
  }
};

class Select {
 public:
  Select(const LaneLease& lanes, const ResidualTensor& tensor, uint64_t k, bool keep_non_finite,
         const Layout& layout, RunControl& control)
      : lanes_(lanes),
        lane_(lanes[0]),
        tensor_(tensor),
        k_(k),
        keep_non_finite_(keep_non_finite),
        layout_(layout),
        control_(control) {}

  /// False: a NaN.
  bool Run(Selection& selection, SelectedEntries* selected) {
    Upload();
    if (selection.Active(0)) {
      do {
        if (!Count(selection)) return false;
      } while (!selection.Advance());
    }
    selected->threshold = selection.Thresholds()[0];
    std::vector<uint64_t> starts(BlockCount(tensor_.elements) + 1);
    if (!Emit(selected->threshold, &starts)) return false;
    Collect(starts, selected);
    return true;
  }

 private:
  template <class T>
  T* At(uint64_t offset) {
    return reinterpret_cast<T*>(memory_ + offset);
  }

  void Upload() {
    memory_ = lane_.Array<uint8_t>(kOperands, layout_.bytes);
    const Chunk all{0, tensor_.elements};
    UploadElements(lane_, tensor_.tasks[0], tensor_.dtype, all, memory_, At<void>(layout_.raw));
    control_.AddProgress(tensor_.elements * ItemSize(tensor_.dtype) * (tensor_.merged ? 2 : 1));
    if (!tensor_.merged) return;
    merged_ = At<uint8_t>(layout_.merged);
    UploadElements(lane_, {*tensor_.merged, tensor_.dtype}, tensor_.dtype, all, At<void>(layout_.merged),
                   nullptr);
  }

  bool Count(Selection& selection) {
    control_.ThrowIfCancelled();
    selection.BeginPass();
    DeviceCounters counters(&selection, 1, kCounters);
    tf_cuda_count_job job{};
    job.dtype = static_cast<int32_t>(tensor_.dtype);
    job.elements = tensor_.elements;
    job.merged = merged_;
    job.task = memory_;
    job.window = counters.Windows(lane_, 0)[0];
    lane_.Launch("counting", lane_.cuda().count, job);
    if (!keep_non_finite_ && counters.SawNaN(lane_, 0)) return false;
    counters.AddTo(selection, lanes_);
    return true;
  }

  bool Emit(const Threshold& threshold, std::vector<uint64_t>* starts) {
    control_.ThrowIfCancelled();
    tf_cuda_rank_job rank{};
    rank.dtype = static_cast<int32_t>(tensor_.dtype);
    rank.threshold = threshold.key;
    rank.elements = tensor_.elements;
    rank.merged = merged_;
    rank.task = memory_;
    rank.above = At<uint32_t>(layout_.above);
    rank.equal = At<uint32_t>(layout_.equal);
    rank.tally = At<tf_cuda_tally>(layout_.tally);
    lane_.Fill(rank.tally, 0, sizeof(tf_cuda_tally));
    lane_.Launch("ranking", lane_.cuda().rank, rank);

    tf_cuda_place_job place{};
    place.blocks = starts->size() - 1;
    place.above = rank.above;
    place.equal = rank.equal;
    place.ties = At<uint64_t>(layout_.ties);
    place.keep_equal = At<uint32_t>(layout_.keep_equal);
    place.starts = At<uint64_t>(layout_.starts);
    lane_.Upload(place.ties, &threshold.ties, sizeof threshold.ties);
    lane_.Launch("placing", lane_.cuda().place, place);
    tf_cuda_tally tally{};
    lane_.Download(&tally, rank.tally, sizeof tally);
    if (tally.has_nan != 0 && !keep_non_finite_) return false;
    lane_.Download(starts->data(), place.starts, starts->size() * sizeof(uint64_t));
    if (starts->back() != k_) {
      throw Error("INTERNAL", "a GPU found " + std::to_string(starts->back()) +
                                  " entries where k = " + std::to_string(k_));
    }

    tf_cuda_emit_job emit{};
    emit.dtype = rank.dtype;
    emit.threshold = rank.threshold;
    emit.elements = rank.elements;
    emit.merged = rank.merged;
    emit.task = rank.task;
    emit.keep_equal = place.keep_equal;
    emit.starts = place.starts;
    emit.values = At<void>(layout_.values);
    emit.positions = At<uint16_t>(layout_.positions);
    lane_.Launch("gathering", lane_.cuda().emit, emit);
    return true;
  }

  void Collect(const std::vector<uint64_t>& starts, SelectedEntries* selected) {
    selected->values.resize(k_ * ItemSize(tensor_.dtype));
    lane_.Download(selected->values.data(), At<void>(layout_.values), selected->values.size());
    const bool wide = tensor_.elements > kNarrowElements;
    if (wide) {
      selected->wide_positions.resize(k_);
    } else {
      selected->positions.resize(k_);
    }
    uint64_t block = 0, entry = 0;
    lane_.Download(At<void>(layout_.positions), k_ * 2, [&](const uint8_t* part, uint64_t, size_t length) {
      for (size_t i = 0; i < length; i += 2, entry++) {
        uint16_t within;
        memcpy(&within, part + i, 2);
        while (entry >= starts[block + 1]) block++;
        const uint64_t position = block * kBlockElements + within;
        if (wide) {
          selected->wide_positions[entry] = static_cast<double>(position);
        } else {
          selected->positions[entry] = static_cast<uint32_t>(position);
        }
      }
    });
  }

  const LaneLease& lanes_;
  Lane& lane_;
  const ResidualTensor& tensor_;
  uint64_t k_;
  bool keep_non_finite_;
  const Layout& layout_;
  RunControl& control_;
  uint8_t* memory_ = nullptr;
  uint8_t* merged_ = nullptr;
};

}  // namespace

std::optional<SelectedEntries> SelectOnDevice(DeviceSet& devices, const ResidualTensor& tensor, uint64_t k,
                                              bool keep_non_finite, RunControl& control) {
  const uint64_t raw = RawBytes(tensor.tasks[0], tensor.dtype);
  const uint64_t item = ItemSize(tensor.dtype);
  // Before the products below could overflow.
  if (k == 0 || tensor.elements > devices.lane_bytes()) return std::nullopt;
  const Layout layout(tensor.elements, k, item, raw);
  if (layout.bytes + kMostCounterBytes > devices.lane_bytes()) return std::nullopt;
  Selection selection({{k, tensor.elements}});
  const std::vector<ResidualTensor> tensors{tensor};
  if (selection.Active(0)) SampleResiduals(tensors, selection, control);
  const LaneLease lanes = devices.Lease(control, 1);
  SelectedEntries selected;
  if (!Select(lanes, tensor, k, keep_non_finite, layout, control).Run(selection, &selected)) {
    return std::nullopt;
  }
  return selected;
}

}  // namespace taskfold
