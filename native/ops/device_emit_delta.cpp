#include "ops/device_emit_delta.h"

#include <condition_variable>

#include "core/block_scatter.h"
#include "ops/device_chunks.h"

namespace taskfold {

/// How a chunk lies in a lane's memory. Sizes are those of the chunk that keeps everything.
struct DeviceEmitter::Layout {
  uint64_t merged, raw, values, bits, above, equal, keep_equal, starts, tally, bytes;

  Layout(uint64_t elements, uint64_t item, uint64_t raw_item) {
    const uint64_t blocks = BlockCount(elements);
    DeviceLayout layout;
    layout.Take(elements * item);  // the task's elements
    merged = layout.Take(elements * item);
    raw = layout.Take(elements * raw_item);
    values = layout.Take(elements * item);
    bits = layout.Take(blocks * kBlockWords * 8);
    above = layout.Take(blocks * 4);
    equal = layout.Take(blocks * 4);
    keep_equal = layout.Take(blocks * 4);
    starts = layout.Take((blocks + 1) * 8);
    tally = layout.Take(sizeof(tf_cuda_tally));
    bytes = layout.bytes();
  }
};

namespace {

uint64_t ElementsOfChunks(const DeviceSet& devices, const EmitTensor& tensor) {
  const uint64_t item = ItemSize(tensor.dtype);
  // One byte more for marks and counts. Always at least one leaf: it takes 6 MiB at most.
  return ChunkElements(devices, tensor.dtype, 3 * item + RawBytes(tensor.task, tensor.dtype) + 1, 0);
}

/// What goes from chunk to chunk.
struct Passed {
  uint64_t ties;
  uint64_t kept;
};

}  // namespace

/// Lets chunks be ranked in any order, but deals ties and places in theirs.
class DeviceEmitter::Relay {
 public:
  explicit Relay(Passed first) : passed_(first) {}
  /// Waits until all chunks before this one have passed. False: one of them failed.
  bool Take(uint64_t chunk, Passed* passed) {
    std::unique_lock<std::mutex> lock(mutex_);
    moved_.wait(lock, [&] { return failed_ || next_ == chunk; });
    *passed = passed_;
    return !failed_;
  }
  void Pass(Passed passed) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      passed_ = passed;
      next_++;
    }
    moved_.notify_all();
  }
  void Fail() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      failed_ = true;
    }
    moved_.notify_all();
  }
  Passed last() const { return passed_; }

 private:
  std::mutex mutex_;
  std::condition_variable moved_;
  Passed passed_;
  uint64_t next_ = 0;
  bool failed_ = false;
};

struct DeviceEmitter::Target {
  ValueStore& values;
  MarkStore& marks;
  std::vector<uint64_t>& starts;  // [blocks + 1]
};

DeviceEmitter::DeviceEmitter(DeviceSet& devices, const std::vector<EmitTensor>& tensors,
                             const EmitOptions& options, RunControl& control)
    : devices_(devices), options_(options), control_(control), lanes_(devices.Lease(control)) {
  for (const EmitTensor& tensor : tensors) {
    const uint64_t longest = std::min(ElementsOfChunks(devices, tensor), tensor.elements);
    const Layout layout(longest, ItemSize(tensor.dtype), RawBytes(tensor.task, tensor.dtype));
    slot_bytes_ = std::max(slot_bytes_, layout.bytes);
  }
}

void DeviceEmitter::Emit(const EmitTensor& tensor, uint64_t* ties, ValueStore& values, MarkStore& marks,
                         std::vector<uint64_t>& starts) {
  const uint64_t chunk_elements = ElementsOfChunks(devices_, tensor);
  starts.resize(BlockCount(tensor.elements) + 1);
  Relay relay({*ties, 0});
  Target target{values, marks, starts};
  const size_t chunks = ChunkCount(tensor.elements, chunk_elements);
  ParallelFor(chunks, static_cast<unsigned>(lanes_.size()), [&](size_t piece, unsigned worker) {
    try {
      control_.ThrowIfCancelled();
      EmitChunk(tensor, piece, chunk_elements, lanes_[worker], relay, target);
    } catch (...) {
      relay.Fail();
      throw;
    }
  });
  *ties = relay.last().ties;
}

void DeviceEmitter::EmitChunk(const EmitTensor& tensor, uint64_t piece, uint64_t chunk_elements, Lane& lane,
                              Relay& relay, Target& target) {
  const Chunk chunk = ChunkAt(piece, chunk_elements, tensor.elements);
  const uint64_t item = ItemSize(tensor.dtype);
  const uint64_t first_block = chunk.first / kBlockElements;
  const auto blocks = static_cast<size_t>(BlockCount(chunk.count));
  const Layout layout(chunk.count, item, RawBytes(tensor.task, tensor.dtype));
  auto* memory = lane.Array<uint8_t>(0, slot_bytes_);
  UploadElements(lane, tensor.task, tensor.dtype, chunk, memory, memory + layout.raw);
  UploadElements(lane, {tensor.merged, tensor.dtype}, tensor.dtype, chunk, memory + layout.merged, nullptr);

  tf_cuda_rank_job rank{};
  rank.dtype = static_cast<int32_t>(tensor.dtype);
  rank.threshold = options_.threshold.key;
  rank.elements = chunk.count;
  rank.merged = memory + layout.merged;
  rank.task = memory;
  rank.above = reinterpret_cast<uint32_t*>(memory + layout.above);
  rank.equal = reinterpret_cast<uint32_t*>(memory + layout.equal);
  if (!options_.keep_non_finite) rank.tally = reinterpret_cast<tf_cuda_tally*>(memory + layout.tally);
  lane.Fill(memory + layout.tally, 0, sizeof(tf_cuda_tally));
  lane.Launch("ranking", lane.cuda().rank, rank);
  tf_cuda_tally tally{};
  std::vector<uint32_t> above(blocks), equal(blocks);
  lane.Download(&tally, memory + layout.tally, sizeof tally);
  if (tally.has_nan != 0) Explain(tensor, first_block, blocks);
  lane.Download(above.data(), rank.above, blocks * sizeof(uint32_t));
  lane.Download(equal.data(), rank.equal, blocks * sizeof(uint32_t));

  // Placing a chunk's few blocks here is quicker than a kernel and two more waits.
  Passed passed;
  if (!relay.Take(piece, &passed)) return;
  const uint64_t origin = passed.kept;
  std::vector<uint64_t> starts{0};
  for (size_t b = 0; b < blocks; b++) {
    equal[b] = static_cast<uint32_t>(std::min<uint64_t>(equal[b], passed.ties));
    passed.ties -= equal[b];
    starts.push_back(starts.back() + above[b] + equal[b]);
    target.starts[first_block + b + 1] = origin + starts.back();
  }
  const uint64_t kept = starts.back();
  passed.kept += kept;
  relay.Pass(passed);

  tf_cuda_emit_job emit{};
  emit.dtype = rank.dtype;
  emit.threshold = rank.threshold;
  emit.elements = rank.elements;
  emit.merged = rank.merged;
  emit.task = rank.task;
  emit.keep_equal = reinterpret_cast<uint32_t*>(memory + layout.keep_equal);
  emit.starts = reinterpret_cast<uint64_t*>(memory + layout.starts);
  emit.values = memory + layout.values;
  emit.bits = reinterpret_cast<uint64_t*>(memory + layout.bits);
  lane.Upload(memory + layout.keep_equal, equal.data(), blocks * sizeof(uint32_t));
  lane.Upload(memory + layout.starts, starts.data(), starts.size() * sizeof(uint64_t));
  lane.Launch("gathering", lane.cuda().emit, emit);
  lane.Download(emit.bits, blocks * kBlockWords * 8, [&](const uint8_t* part, uint64_t at, size_t length) {
    target.marks.PutAt(first_block * kBlockWords * 8 + at, part, length);
  });
  lane.Download(emit.values, kept * item, [&](const uint8_t* part, uint64_t at, size_t length) {
    target.values.Put(origin * item + at, part, length);
  });
  control_.AddProgress(chunk.count * item * 2);
}

/// The CPU finds out which element of which operand it is.
void DeviceEmitter::Explain(const EmitTensor& tensor, uint64_t first_block, size_t blocks) {
  const BlockMarker marker({&tensor.name, tensor.elements, tensor.dtype, &tensor.task, &tensor.merged},
                           false);
  std::vector<MarkedBlock> marked(1);
  std::vector<Scratch> scratch(1);
  for (size_t b = 0; b < blocks; b++) {
    uint64_t ties = options_.threshold.ties;
    marker.Mark(first_block + b, 1, options_.threshold, &ties, marked, scratch, control_);
  }
  throw Error("INTERNAL", "a GPU saw a NaN in " + tensor.name + " and the CPU does not find it")
      .Tensor(tensor.name);
}

}  // namespace taskfold
