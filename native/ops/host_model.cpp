#include "ops/host_model.h"

#include <algorithm>
#include <atomic>
#include <memory>

#include "backend/registry.h"
#include "core/block_scatter.h"
#include "core/thread_pool.h"
#include "ops/block_marks.h"
#include "ops/operand_reader.h"
#include "ops/work_list.h"

namespace taskfold {
namespace {

/// Entries ahead whose cache line is asked for: far enough to hide the memory's latency, found by
/// measurement.
constexpr size_t kAhead = 32;

[[noreturn]] void Refuse(const char* code, const std::string& tensor, const std::string& why) {
  throw Error(code, tensor + ": " + why).Tensor(tensor);
}

/// Memory of at least `bytes` that starts at a multiple of `item`.
void CheckMemory(const std::string& tensor, const char* what, const Region& region, uint64_t bytes,
                 size_t item) {
  if (region.file()) Refuse("INVALID_ARGUMENT", tensor, std::string(what) + " must be memory, not a file");
  if (region.length() < bytes) {
    Refuse("INVALID_ARGUMENT", tensor,
           std::string(what) + " has " + std::to_string(region.length()) + " bytes, not " +
               std::to_string(bytes));
  }
  if (reinterpret_cast<uintptr_t>(region.memory()) % item != 0) {
    Refuse("INVALID_ARGUMENT", tensor, std::string(what) + " is not aligned to its items");
  }
}

template <class T>
T* As(const Region& region) {
  return reinterpret_cast<T*>(region.memory());
}

uint64_t CheckStarts(const std::string& tensor, const EntryArrays& entries, uint64_t elements) {
  const uint64_t blocks = BlockCount(elements);
  CheckMemory(tensor, "starts", entries.starts, (blocks + 1) * sizeof(uint64_t), sizeof(uint64_t));
  return As<uint64_t>(entries.starts)[blocks];
}

void CheckEntries(const std::string& tensor, const EntryArrays& entries, uint64_t elements, size_t item) {
  const uint64_t kept = CheckStarts(tensor, entries, elements);
  if (kept > elements) Refuse("INVALID_ARGUMENT", tensor, "more entries than elements");
  CheckMemory(tensor, "positions", entries.positions, kept * sizeof(uint16_t), sizeof(uint16_t));
  CheckMemory(tensor, "values", entries.values, kept * item, item);
}

/// Calls each(tensor, remainder, block, elements of the block, scratch) in parallel.
template <class F>
void ForEachBlock(const std::vector<CollectTensor>& tensors, RunControl& control, const F& each) {
  WorkList list;
  for (const CollectTensor& tensor : tensors) {
    CheckOperandLength(tensor.name, "merged", tensor.merged, tensor.elements, tensor.dtype);
    if (!tensor.delta && !tensor.coded) {
      Refuse("INVALID_ARGUMENT", tensor.name, "there is no remainder to collect");
    }
    list.Add(BlockCount(tensor.elements));
  }
  const std::vector<std::unique_ptr<Remainder>> remainders = OpenRemainders(tensors);
  ScratchPerWorker scratches(control.threads());
  ParallelFor(list.items(), control.threads(), [&](size_t item, unsigned worker) {
    control.ThrowIfCancelled();
    const auto [which, block] = list.Find(item);
    const CollectTensor& tensor = tensors[which];
    const size_t n = ElementsOfBlock(tensor.elements, block);
    NamingTensor(tensor.name, [&, index = which, number = block] {
      each(tensor, *remainders[index], number, n, scratches[worker]);
    });
    control.AddProgress(n * ItemSize(tensor.dtype));
  });
}

template <class Item>
void ExchangeItems(Item* to, const uint16_t* positions, Item* values, size_t count) {
  const auto exchange = [&](size_t i) {
    const Item old = to[positions[i]];
    to[positions[i]] = values[i];
    values[i] = old;
  };
  size_t i = 0;
  for (; i + kAhead < count; i++) {
    __builtin_prefetch(to + positions[i + kAhead], 1);
    exchange(i);
  }
  for (; i < count; i++) exchange(i);
}

/// False when starts or positions lie: nothing is then exchanged.
bool ExchangeBlock(const ExchangeTensor& tensor, const ExchangeLayer& layer, uint64_t block) {
  const auto* starts = As<uint64_t>(layer.entries.starts);
  const size_t item = tensor.item_size;
  // The arrays' lengths bound what is touched, whatever the starts say by now.
  const uint64_t room = std::min(layer.entries.values.length() / item, layer.entries.positions.length() / 2);
  const uint64_t kept = std::min(room, starts[BlockCount(layer.elements)]);
  const BlockEntries entries = EntriesOfBlock(starts, kept, layer.elements, block);
  if (entries.refused != 0) return false;
  const auto* positions = As<uint16_t>(layer.entries.positions) + entries.begin;
  const size_t n = ElementsOfBlock(layer.elements, block);
  // Any u16 is inside of a full block.
  const auto outside = [&](uint16_t position) { return position >= n; };
  if (n < kBlockElements && std::any_of(positions, positions + entries.count, outside)) return false;
  uint8_t* to = tensor.target.memory() + block * kBlockElements * item;
  uint8_t* values = layer.entries.values.memory() + entries.begin * item;
  const auto run = [&](auto zero) {
    using Item = decltype(zero);
    ExchangeItems(reinterpret_cast<Item*>(to), positions, reinterpret_cast<Item*>(values), entries.count);
  };
  if (item == 1) run(uint8_t{});
  if (item == 2) run(uint16_t{});
  if (item == 4) run(uint32_t{});
  if (item == 8) run(uint64_t{});
  return true;
}

/// The part of the layer's whole bytes that lies in [from, to) of the tensor.
void ExchangeBytes(const ExchangeTensor& tensor, const ExchangeLayer& layer, uint64_t from, uint64_t to) {
  const uint64_t first = std::max(from, layer.at);
  const uint64_t end = std::min(to, layer.at + layer.bytes.length());
  if (first >= end) return;
  uint8_t* bytes = layer.bytes.memory() + (first - layer.at);
  std::swap_ranges(bytes, bytes + (end - first), tensor.target.memory() + first);
}

void CheckExchange(const ExchangeTensor& tensor) {
  const size_t item = tensor.item_size;
  if (item != 1 && item != 2 && item != 4 && item != 8) {
    Refuse("INVALID_ARGUMENT", tensor.name, "an element has 1, 2, 4 or 8 bytes");
  }
  CheckMemory(tensor.name, "target", tensor.target, 0, item);
  for (const ExchangeLayer& layer : tensor.layers) {
    if (layer.elements > tensor.target.length() / item) {
      Refuse("INVALID_ARGUMENT", tensor.name, "entries over more elements than the tensor has");
    }
    if (layer.elements > 0) CheckEntries(tensor.name, layer.entries, layer.elements, item);
    CheckMemory(tensor.name, "bytes", layer.bytes, 0, 1);
    if (layer.at > tensor.target.length() || layer.bytes.length() > tensor.target.length() - layer.at) {
      Refuse("INVALID_ARGUMENT", tensor.name, "bytes outside of the tensor");
    }
  }
}

}  // namespace

void CountEntries(const std::vector<CollectTensor>& tensors, RunControl& control) {
  control.ThrowIfCancelled();
  for (const CollectTensor& tensor : tensors) {
    const uint64_t bytes = (BlockCount(tensor.elements) + 1) * sizeof(uint64_t);
    CheckMemory(tensor.name, "starts", tensor.entries.starts, bytes, sizeof(uint64_t));
  }
  ForEachBlock(tensors, control,
               [](const CollectTensor& tensor, const Remainder& remainder, uint64_t block, size_t n,
                  Scratch& scratch) {
                 auto* bits = scratch.Array<uint64_t>(0, kBlockWords);
                 remainder.Marks(block, n, bits, scratch, 1);
                 uint64_t count = 0;
                 for (size_t w = 0; w < (n + 63) / 64; w++) {
                   count += static_cast<uint64_t>(__builtin_popcountll(bits[w]));
                 }
                 As<uint64_t>(tensor.entries.starts)[block + 1] = count;
               });
  for (const CollectTensor& tensor : tensors) {
    auto* starts = As<uint64_t>(tensor.entries.starts);
    starts[0] = 0;
    for (uint64_t b = 0; b < BlockCount(tensor.elements); b++) starts[b + 1] += starts[b];
  }
}

void CollectEntries(const std::vector<CollectTensor>& tensors, RunControl& control) {
  control.ThrowIfCancelled();
  for (const CollectTensor& tensor : tensors) {
    CheckEntries(tensor.name, tensor.entries, tensor.elements, ItemSize(tensor.dtype));
  }
  const TfBackend& backend = ActiveBackend();
  ForEachBlock(tensors, control,
               [&](const CollectTensor& tensor, const Remainder& remainder, uint64_t block, size_t n,
                   Scratch& scratch) {
                 const size_t size = ItemSize(tensor.dtype);
                 const auto* starts = As<uint64_t>(tensor.entries.starts);
                 const uint64_t kept = starts[BlockCount(tensor.elements)];
                 auto* bits = scratch.Array<uint64_t>(0, kBlockWords);
                 remainder.Marks(block, n, bits, scratch, 2);
                 uint64_t count = 0;
                 for (size_t w = 0; w < (n + 63) / 64; w++) {
                   count += static_cast<uint64_t>(__builtin_popcountll(bits[w]));
                 }
                 const BlockEntries room = EntriesOfBlock(starts, kept, tensor.elements, block);
                 if (room.refused != 0 || room.count != count) {
                   Refuse("PACK_INVALID", tensor.name,
                          "block " + std::to_string(block) + " has other entries than when it was counted");
                 }
                 if (count == 0) return;
                 uint8_t* dense = scratch.Get(1, n * size);
                 // θt's own bits need no θ* under them.
                 if (!remainder.Exact()) {
                   tensor.merged.ReadTo(block * kBlockElements * size, n * size, dense);
                 }
                 remainder.Apply(block, n, dense, scratch, 2);
                 backend.gather(size, n, bits, dense, tensor.entries.values.memory() + room.begin * size);
                 backend.positions(n, bits, As<uint16_t>(tensor.entries.positions) + room.begin);
               });
}

void ExchangeEntries(const std::vector<ExchangeTensor>& tensors, RunControl& control) {
  WorkList list;
  for (const ExchangeTensor& tensor : tensors) {
    CheckExchange(tensor);
    list.Add(BlockCount((tensor.target.length() + tensor.item_size - 1) / tensor.item_size));
  }
  std::atomic<bool> refused{false};
  ParallelFor(list.items(), control.threads(), [&](size_t item, unsigned) {
    const auto [which, block] = list.Find(item);
    const ExchangeTensor& tensor = tensors[which];
    const uint64_t bytes = kBlockElements * tensor.item_size;
    for (const ExchangeLayer& layer : tensor.layers) {
      if (block < BlockCount(layer.elements) && !ExchangeBlock(tensor, layer, block)) {
        refused.store(true, std::memory_order_relaxed);
      }
      ExchangeBytes(tensor, layer, block * bytes, (block + 1) * bytes);
    }
  });
  if (refused)
    throw Error("INTERNAL", "positions outside of their tensors: the task's entries were overwritten");
}

}  // namespace taskfold
