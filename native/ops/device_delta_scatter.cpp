#include "ops/device_delta_scatter.h"

#include <numeric>

#include "core/block_scatter.h"
#include "ops/device_chunks.h"
#include "ops/work_list.h"

namespace taskfold {
namespace {

/// How a chunk lies in a lane's memory. Sizes are those of the chunk that keeps everything.
struct Layout {
  uint64_t values, index, starts, refused, bytes;
  Layout(uint64_t elements, uint64_t item) {
    DeviceLayout layout;
    layout.Take(elements * item);  // the dense elements
    values = layout.Take(elements * item);
    index = layout.Take(elements * 2);
    starts = layout.Take((BlockCount(elements) + 1) * 8);
    refused = layout.Take(8);
    bytes = layout.bytes();
  }
};
// Values, u16 positions and a little for starts beside the dense elements.
constexpr uint64_t BytesPerElement(uint64_t item) { return 2 * item + 3; }

/// out = merged, through the worker's memory: there is nothing to compute.
void CopyChunk(const ScatterTensor& tensor, Chunk chunk, Scratch& scratch) {
  const uint64_t item = ItemSize(tensor.dtype);
  for (uint64_t done = 0; done < chunk.count; done += kBlockElements) {
    const auto length = static_cast<size_t>(std::min(kBlockElements, chunk.count - done) * item);
    uint8_t* bytes = scratch.Get(0, length);
    tensor.merged.ReadTo((chunk.first + done) * item, length, bytes);
    tensor.out.Write((chunk.first + done) * item, length, bytes);
  }
}

void ScatterChunk(const ScatterTensor& tensor, const DeltaDecoder& decoder, Chunk chunk, uint64_t slot_bytes,
                  Lane& lane, Scratch& scratch) {
  const uint64_t item = ItemSize(tensor.dtype);
  const Layout layout(chunk.count, item);
  auto* memory = lane.Array<uint8_t>(0, slot_bytes);
  lane.Upload(memory, tensor.merged, chunk.first * item, chunk.count * item);
  const uint64_t first_block = chunk.first / kBlockElements;
  const uint64_t blocks = BlockCount(chunk.count);
  const std::vector<uint64_t>& all = decoder.starts();
  std::vector<uint64_t> starts(all.begin() + static_cast<ptrdiff_t>(first_block),
                               all.begin() + static_cast<ptrdiff_t>(first_block + blocks + 1));
  const uint64_t origin = starts[0];
  for (uint64_t& start : starts) start -= origin;
  const uint8_t* index = decoder.CheckedIndex(first_block, blocks, scratch, 0);
  if (starts.back() == 0) return lane.Download(tensor.out, chunk.first * item, memory, chunk.count * item);

  tf_cuda_scatter_job job{};
  job.dense = memory;
  job.elements = chunk.count;
  job.item_bytes = static_cast<uint32_t>(item);
  job.delta.kept = starts.back();
  job.delta.start_bytes = 8;
  const bool bitmap = decoder.delta().index == IndexCode::kBitmap;
  job.delta.index_code = bitmap ? TF_CUDA_INDEX_BITMAP : TF_CUDA_INDEX_U16;
  job.delta.starts = memory + layout.starts;
  job.delta.index = memory + layout.index;
  job.delta.values = memory + layout.values;
  job.refused = reinterpret_cast<uint64_t*>(memory + layout.refused);
  lane.Upload(memory + layout.starts, starts.data(), starts.size() * sizeof(uint64_t));
  lane.Upload(memory + layout.index, index, bitmap ? (chunk.count + 7) / 8 : starts.back() * 2);
  lane.Upload(memory + layout.values, decoder.delta().value, origin * item, starts.back() * item);
  lane.Fill(job.refused, 0, sizeof(uint64_t));
  lane.Launch("scattering", lane.cuda().scatter, job);
  uint64_t refused = 0;
  lane.Download(&refused, job.refused, sizeof refused);
  if (refused != 0) {
    throw Error("INTERNAL", "a GPU refused " + std::to_string(refused) + " entries of " + tensor.name +
                                " that the CPU takes")
        .Tensor(tensor.name);
  }
  lane.Download(tensor.out, chunk.first * item, memory, chunk.count * item);
}

}  // namespace

void ScatterOnDevices(DeviceSet& devices, const std::vector<ScatterTensor>& tensors,
                      const std::vector<std::optional<DeltaDecoder>>& decoders, RunControl& control) {
  WorkList list;
  std::vector<uint64_t> chunk_elements;
  uint64_t slot_bytes = 0;
  for (const ScatterTensor& tensor : tensors) {
    const uint64_t item = ItemSize(tensor.dtype);
    // Always at least one leaf: it takes 2 MiB at most.
    chunk_elements.push_back(ChunkElements(devices, tensor.dtype, BytesPerElement(item), 0));
    list.Add(ChunkCount(tensor.elements, chunk_elements.back()));
    slot_bytes = std::max(slot_bytes, Layout(std::min(chunk_elements.back(), tensor.elements), item).bytes);
  }
  const LaneLease lanes = devices.Lease(control);
  ScratchPerWorker scratches(static_cast<unsigned>(lanes.size()));
  ForEachItem(lanes, list.items(), control, [&](size_t entry, unsigned worker) {
    const auto [which, piece] = list.Find(entry);
    const ScatterTensor& tensor = tensors[which];
    const Chunk chunk = ChunkAt(piece, chunk_elements[which], tensor.elements);
    NamingTensor(tensor.name, [&, index = which] {
      if (decoders[index]) {
        ScatterChunk(tensor, *decoders[index], chunk, slot_bytes, lanes[worker], scratches[worker]);
      } else {
        CopyChunk(tensor, chunk, scratches[worker]);
      }
    });
    control.AddProgress(chunk.count * ItemSize(tensor.dtype));
  });
}

}  // namespace taskfold
