#pragma once
// Random models and tasks, and what memory must hold while each is entered, for the tests of resident models.
#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/block_scatter.h"
#include "device/device_layout.h"
#include "device_test_kit.h"
#include "ops/resident_model.h"

using namespace taskfold;

using Bytes = std::vector<uint8_t>;

constexpr uint64_t kMiB = uint64_t{1} << 20;

inline std::shared_ptr<DeviceSet> OpenSet(uint64_t budget) {
  return DeviceSet::Open(EmulatedPlugin(), {0}, budget);
}

/// Free memory of the device: what a test allocates must be back at its end.
inline uint64_t FreeBytes(DeviceSet& set) {
  char error[256];
  uint64_t available = 0, total = 0;
  CHECK(set.cuda().device_memory(0, &available, &total, error, sizeof error) == 0, "%s", error);
  return available;
}

inline RunControl Control() { return RunControl(std::make_shared<CancelFlag>(), 2); }

/// A dense tensor of θ*: its place, and its size with the rows that a task may add.
struct Tensor {
  std::string name;
  Dtype dtype;
  uint64_t at, elements, room;
};

/// A task, its arrays, and what memory must hold while it is entered.
struct Task {
  ResidentTaskPlan plan;
  std::vector<std::unique_ptr<Bytes>> arrays;
  Bytes own;       // its stored bytes (what tails save is not looked at)
  Bytes expected;  // θ*'s memory

  Region Keep(const void* from, size_t bytes) {
    arrays.push_back(std::make_unique<Bytes>(bytes));
    if (bytes > 0) memcpy(arrays.back()->data(), from, bytes);
    return Region::OfMemory(arrays.back()->data(), bytes);
  }
};

struct Model {
  std::vector<Tensor> tensors;
  Bytes merged;
  std::vector<ResidentCopy> copies;
};

inline Bytes RandomBytes(Random& random, uint64_t bytes) {
  Bytes out(bytes);
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(random.Next());
  return out;
}

inline Model RandomModel(Random& random) {
  static const uint64_t kSizes[] = {0, 1, 7, 64, 1000, 65535, 65536, 65537, 140001};
  Model model;
  uint64_t end = 0;
  for (int i = 0; i < 9; i++) {
    Tensor tensor;
    tensor.name = "t" + std::to_string(i);
    tensor.dtype = static_cast<Dtype>(random.Below(kDtypeCount));
    tensor.elements = kSizes[random.Below(9)];
    tensor.room = tensor.elements + random.Below(3) * 500;
    tensor.at = end;
    end = AlignForDevice(end + tensor.room * ItemSize(tensor.dtype));
    model.tensors.push_back(tensor);
  }
  model.merged.assign(end, 0);
  for (const Tensor& tensor : model.tensors) {
    const Bytes bytes = RandomBytes(random, tensor.elements * ItemSize(tensor.dtype));
    std::copy(bytes.begin(), bytes.end(), model.merged.begin() + static_cast<ptrdiff_t>(tensor.at));
  }
  for (const Tensor& tensor : model.tensors) {
    uint8_t* from = model.merged.data() + tensor.at;
    model.copies.push_back(
        {tensor.name, Region::OfMemory(from, tensor.elements * ItemSize(tensor.dtype)), tensor.at});
  }
  return model;
}

/// A delta over the first `elements` of a tensor with random positions of some density.
inline void AddDelta(Random& random, const Tensor& tensor, uint64_t elements, Task* task) {
  const unsigned density = random.Below(4) == 0 ? 1000 : random.Below(200);
  const size_t item = ItemSize(tensor.dtype);
  const bool bitmap = random.Below(2) == 0;
  std::vector<uint16_t> positions;
  std::vector<uint32_t> narrow;
  std::vector<uint64_t> starts{0};
  Bytes bits((elements + 7) / 8), values;
  for (uint64_t i = 0; i < elements; i++) {
    if (i > 0 && i % kBlockElements == 0) starts.push_back(positions.size());
    if (random.Below(1000) >= density) continue;
    positions.push_back(static_cast<uint16_t>(i % kBlockElements));
    bits[i / 8] |= static_cast<uint8_t>(1u << (i % 8));
    for (size_t b = 0; b < item; b++) {
      values.push_back(static_cast<uint8_t>(random.Next()));
      task->expected[tensor.at + i * item + b] = values.back();
    }
  }
  if (positions.empty()) return;
  starts.push_back(positions.size());
  narrow.assign(starts.begin(), starts.end());
  ResidentDelta delta;
  delta.name = tensor.name;
  delta.at = tensor.at;
  delta.elements = elements;
  delta.dtype = tensor.dtype;
  delta.delta.kept = positions.size();
  delta.delta.index = bitmap ? IndexCode::kBitmap : IndexCode::kU16;
  delta.delta.blocks = task->Keep(narrow.data(), narrow.size() * 4);
  delta.delta.value = task->Keep(values.data(), values.size());
  delta.delta.index_bytes =
      bitmap ? task->Keep(bits.data(), bits.size()) : task->Keep(positions.data(), positions.size() * 2);
  task->plan.deltas.push_back(delta);
}

/// Rows behind the first `elements`, up to `room` or less.
inline void AddTail(Random& random, const Tensor& tensor, uint64_t elements, Task* task) {
  const size_t item = ItemSize(tensor.dtype);
  const uint64_t length = random.Below(static_cast<unsigned>(tensor.room - elements) + 1) * item;
  const Bytes rows = RandomBytes(random, length);
  ResidentTail tail;
  tail.from = task->plan.own_bytes;
  tail.length = length;
  tail.at = tensor.at + elements * item;
  tail.overlap = std::min(length, (tensor.elements - elements) * item);
  tail.saved = AlignForDevice(tail.from + length);
  task->plan.stored.push_back({tensor.name, task->Keep(rows.data(), length), tail.from});
  task->plan.own_bytes = AlignForDevice(tail.saved + tail.overlap);
  task->plan.tails.push_back(tail);
  std::copy(rows.begin(), rows.end(), task->expected.begin() + static_cast<ptrdiff_t>(tail.at));
}

inline std::unique_ptr<Task> RandomTask(Random& random, const Model& model, const std::string& name) {
  auto task = std::make_unique<Task>();
  task->plan.name = name;
  task->expected = model.merged;
  for (const Tensor& tensor : model.tensors) {
    const unsigned kind = random.Below(8);
    if (kind == 0) continue;  // same
    const bool rows = kind < 4 && tensor.room > tensor.elements;
    const uint64_t cut = rows ? random.Below(static_cast<unsigned>(tensor.elements) + 1) : tensor.elements;
    AddDelta(random, tensor, cut, task.get());
    if (rows) AddTail(random, tensor, cut, task.get());
  }
  // A tensor that is stored whole.
  const Bytes whole = RandomBytes(random, random.Below(3000));
  task->plan.stored.push_back({"whole", task->Keep(whole.data(), whole.size()), task->plan.own_bytes});
  task->own = whole;
  task->plan.own_bytes = AlignForDevice(task->plan.own_bytes + whole.size());
  return task;
}

inline Bytes ReadBytes(ResidentModel& model, const std::optional<std::string>& task, uint64_t at,
                       uint64_t bytes) {
  Bytes out(bytes, 0xEE);
  RunControl control = Control();
  model.Read(task, at, Region::OfMemory(out.data(), bytes), control);
  return out;
}

inline std::string CodeOf(const std::function<void()>& call, const std::string& part = "") {
  try {
    call();
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find(part) != std::string::npos, "\"%s\" lacks \"%s\"", error.what(),
          part.c_str());
    return error.code();
  }
  return "";
}
