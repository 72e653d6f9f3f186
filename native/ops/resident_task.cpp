#include "ops/resident_task.h"

#include <algorithm>
#include <optional>

#include "core/block_scatter.h"
#include "core/thread_pool.h"
#include "device/device_layout.h"
#include "ops/block_marks.h"
#include "ops/plain_delta.h"
#include "ops/work_list.h"

namespace taskfold {
namespace {

/// Host memory that deltas are decoded into before they are uploaded, at most; one tensor may take more.
constexpr uint64_t kDecodedBytes = uint64_t{256} << 20;

/// [at, at + bytes) must lie in [0, room).
void CheckPlace(const std::string& name, uint64_t at, uint64_t bytes, uint64_t room) {
  if (at <= room && bytes <= room - at) return;
  throw Error("INVALID_ARGUMENT", name + ": bytes " + std::to_string(at) + " to " +
                                      std::to_string(at + bytes) + " of memory that has " +
                                      std::to_string(room))
      .Tensor(name);
}

uint64_t IndexBytes(const ResidentDelta& tensor) {
  return PlainIndex(tensor.delta) == IndexCode::kBitmap ? (tensor.elements + 7) / 8 : 2 * tensor.delta.kept;
}
uint64_t StartBytes(const ResidentDelta& tensor) { return tensor.delta.kept < (uint64_t{1} << 32) ? 4 : 8; }

void CheckPlaces(const ResidentTaskPlan& plan, uint64_t merged_bytes) {
  for (const ResidentCopy& copy : plan.stored) {
    CheckPlace(copy.name, copy.at, copy.from.length(), plan.own_bytes);
  }
  for (const ResidentTail& tail : plan.tails) {
    CheckPlace("extra rows", tail.from, tail.length, plan.own_bytes);
    CheckPlace("extra rows", tail.saved, tail.overlap, plan.own_bytes);
    CheckPlace("extra rows", tail.at, tail.length, merged_bytes);
    CheckPlace("extra rows", 0, tail.overlap, tail.length);
  }
  uint64_t end = 0;  // the deltas are sorted: two that overlap would write the same elements at once
  for (const ResidentDelta& tensor : plan.deltas) {
    CheckPlace(tensor.name, 0, tensor.elements, merged_bytes);
    const uint64_t bytes = tensor.elements * ItemSize(tensor.dtype);
    CheckPlace(tensor.name, tensor.at, bytes, merged_bytes);
    if (tensor.at % kDeviceAlignment != 0 || tensor.at < end || tensor.delta.kept == 0) {
      throw Error("INVALID_ARGUMENT", tensor.name + ": its place, or that it keeps nothing, is not allowed")
          .Tensor(tensor.name);
    }
    end = tensor.at + bytes;
  }
}

/// Everything that DeltaDecoder refuses: starts, order and range of positions, spare bits.
void CheckPositions(const std::vector<ResidentDelta>& deltas, RunControl& control) {
  WorkList list;
  std::vector<std::optional<DeltaDecoder>> decoders(deltas.size());
  for (size_t i = 0; i < deltas.size(); i++) {
    control.ThrowIfCancelled();
    NamingTensor(deltas[i].name, [&, at = i] {
      decoders[at].emplace(deltas[at].name, deltas[at].elements, deltas[at].dtype, deltas[at].delta);
      if (decoders[at]->Exact()) return;
      throw Error("INVALID_ARGUMENT", deltas[at].name + ": codecs sign and int4 can't be loaded on a GPU")
          .Tensor(deltas[at].name)
          .Hint("unfold the task instead, or fold it with codec exact");
    });
    list.Add(BlockCount(deltas[i].elements));
  }
  ScratchPerWorker scratches(control.threads());
  ParallelFor(list.items(), control.threads(), [&](size_t item, unsigned worker) {
    control.ThrowIfCancelled();
    Scratch& scratch = scratches[worker];
    const auto [which, block] = list.Find(item);
    const ResidentDelta& tensor = deltas[which];
    const auto n = static_cast<size_t>(std::min(kBlockElements, tensor.elements - block * kBlockElements));
    NamingTensor(tensor.name, [&, at = which, number = block] {
      decoders[at]->Marks(number, n, scratch.Array<uint64_t>(0, kBlockWords), scratch, 1);
    });
  });
}

Region Front(const Region& region, uint64_t bytes) {
  return region.file() ? Region::OfFile(region.file(), region.file_offset(), bytes)
                       : Region::OfMemory(region.memory(), bytes);
}

}  // namespace

ResidentTask::ResidentTask(ResidentTaskPlan plan, uint64_t merged_bytes, RunControl& control)
    : plan_(std::move(plan)) {
  std::sort(plan_.deltas.begin(), plan_.deltas.end(),
            [](const ResidentDelta& a, const ResidentDelta& b) { return a.at < b.at; });
  CheckPlaces(plan_, merged_bytes);
  CheckPositions(plan_.deltas, control);
  DeviceLayout layout;
  layout.Take(plan_.own_bytes);
  for (const ResidentDelta& tensor : plan_.deltas) {
    Placed placed{};
    placed.value = layout.Take(tensor.delta.kept * ItemSize(tensor.dtype));
    placed.index = layout.Take(IndexBytes(tensor));
    placed.starts = layout.Take((BlockCount(tensor.elements) + 1) * StartBytes(tensor));
    placed_.push_back(placed);
  }
  bytes_ = layout.bytes();
}

void ResidentTask::Upload(std::shared_ptr<DeviceMemory> memory, const LaneLease& lanes, RunControl& control) {
  auto* to = memory->As<uint8_t>();
  std::vector<ResidentPiece> pieces;
  for (const ResidentCopy& copy : plan_.stored) {
    pieces.push_back({copy.name, copy.from, to + copy.at});
  }
  // Codes that the device does not know are decoded here, some tensors at a time.
  std::vector<PlainDelta> decoded;
  decoded.reserve(plan_.deltas.size());
  uint64_t held = 0;
  const auto flush = [&] {
    UploadPieces(pieces, lanes, control);
    pieces.clear();
    decoded.clear();
    held = 0;
  };
  const auto in_memory = [](std::vector<uint8_t>& bytes) {
    return Region::OfMemory(bytes.data(), bytes.size());
  };
  for (size_t i = 0; i < plan_.deltas.size(); i++) {
    const ResidentDelta& tensor = plan_.deltas[i];
    const Placed& placed = placed_[i];
    Region value = tensor.delta.value, index = tensor.delta.index_bytes, blocks = tensor.delta.blocks;
    if (!tensor.delta.FitsDevice()) {
      decoded.push_back(DecodePlain(tensor.name, tensor.elements, tensor.dtype, tensor.delta, control));
      PlainDelta& plain = decoded.back();
      value = in_memory(plain.value);
      index = in_memory(plain.index_bytes);
      blocks = in_memory(plain.blocks);
      held += value.length() + index.length() + blocks.length();
    }
    const uint64_t values = tensor.delta.kept * ItemSize(tensor.dtype);
    const uint64_t starts = (BlockCount(tensor.elements) + 1) * StartBytes(tensor);
    pieces.push_back({tensor.name, Front(value, values), to + placed.value});
    pieces.push_back({tensor.name, Front(index, IndexBytes(tensor)), to + placed.index});
    pieces.push_back({tensor.name, Front(blocks, starts), to + placed.starts});
    if (held > kDecodedBytes) flush();
  }
  flush();
  memory_ = std::move(memory);
  // Files are not needed any more: a model must not keep them open, nor memory that JavaScript owns in use.
  plan_.stored.clear();
  for (ResidentDelta& tensor : plan_.deltas) {
    tensor.delta.blocks = tensor.delta.index_bytes = tensor.delta.value = Region();
  }
}

tf_cuda_delta ResidentTask::DeviceDelta(size_t which) const {
  const ResidentDelta& tensor = plan_.deltas[which];
  tf_cuda_delta delta{};
  delta.starts = data() + placed_[which].starts;
  delta.index = data() + placed_[which].index;
  delta.values = data() + placed_[which].value;
  delta.kept = tensor.delta.kept;
  delta.start_bytes = static_cast<uint32_t>(StartBytes(tensor));
  delta.index_code =
      PlainIndex(tensor.delta) == IndexCode::kBitmap ? TF_CUDA_INDEX_BITMAP : TF_CUDA_INDEX_U16;
  return delta;
}

SwapLists::SwapLists(const ResidentTask* leave, const ResidentTask* enter, uint8_t* merged) {
  const auto count = [](const ResidentTask* task) { return task ? task->plan_.deltas.size() : 0; };
  const auto add = [&](std::vector<tf_cuda_swap_tensor>& list, const ResidentDelta& tensor) {
    tf_cuda_swap_tensor entry{};
    entry.dense = merged + tensor.at;
    entry.elements = tensor.elements;
    entry.item_bytes = static_cast<uint32_t>(ItemSize(tensor.dtype));
    entry.first_block = Blocks(list);
    list.push_back(entry);
    return &list.back();
  };
  // Both are sorted by their place in θ*.
  size_t from = 0, to = 0;
  while (from < count(leave) || to < count(enter)) {
    const ResidentDelta* old = from < count(leave) ? &leave->plan_.deltas[from] : nullptr;
    const ResidentDelta* now = to < count(enter) ? &enter->plan_.deltas[to] : nullptr;
    if (now == nullptr || (old != nullptr && old->at < now->at)) {
      add(before, *old)->leave = leave->DeviceDelta(from++);
    } else if (old == nullptr || now->at < old->at) {
      add(main, *now)->enter = enter->DeviceDelta(to++);
    } else if (old->elements == now->elements && old->dtype == now->dtype) {
      tf_cuda_swap_tensor* both = add(main, *now);
      both->leave = leave->DeviceDelta(from++);
      both->enter = enter->DeviceDelta(to++);
    } else {
      add(before, *old)->leave = leave->DeviceDelta(from++);
      add(main, *now)->enter = enter->DeviceDelta(to++);
    }
  }
}

uint64_t SwapLists::Blocks(const std::vector<tf_cuda_swap_tensor>& list) {
  return list.empty() ? 0 : list.back().first_block + BlockCount(list.back().elements);
}

}  // namespace taskfold
