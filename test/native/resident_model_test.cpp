// A model on the emulated GPU against one in host memory: random tasks, random switches, compared after each.
#include "ops/resident_model.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "ops/dlpack_tensor.h"
#include "resident_model_kit.h"

namespace {

void TestSwitches(unsigned long long seed) {
  Random random(seed);
  const auto set = OpenSet(128 * kMiB);
  const uint64_t before = FreeBytes(*set);
  const Model source = RandomModel(random);
  {
    ResidentModel model(set, source.merged.size());
    RunControl control = Control();
    model.LoadMerged(source.copies, control);
    std::vector<std::unique_ptr<Task>> tasks;
    for (const char* name : {"a", "b", "c", "d"}) tasks.push_back(RandomTask(random, source, name));
    const Task* current = nullptr;
    for (int step = 0; step < 14; step++) {
      const unsigned next = random.Below(5);
      const Task* task = next == 4 ? nullptr : tasks[next].get();
      const auto name = task ? std::optional(task->plan.name) : std::nullopt;
      if (task) model.AddTask(task->plan, true, control);
      model.SwitchTo(name, control);
      current = task;
      CHECK(model.state().current == name, "seed %llu step %d", seed, step);
      const Bytes dense = ReadBytes(model, std::nullopt, 0, source.merged.size());
      const Bytes& expected = current ? current->expected : source.merged;
      for (const Tensor& tensor : source.tensors) {
        // Behind what a task's rows take, leftovers of another's may stand.
        uint64_t items = tensor.elements;
        for (const ResidentTail& tail : current ? current->plan.tails : std::vector<ResidentTail>()) {
          const uint64_t end = (tail.at + tail.length - tensor.at) / ItemSize(tensor.dtype);
          if (tail.at >= tensor.at && end <= tensor.room) items = std::max(items, end);
        }
        const size_t bytes = items * ItemSize(tensor.dtype);
        CHECK(memcmp(dense.data() + tensor.at, expected.data() + tensor.at, bytes) == 0,
              "seed %llu step %d, %s in %s", seed, step, tensor.name.c_str(), name ? name->c_str() : "θ*");
      }
      if (task) {
        const ResidentCopy& whole = task->plan.stored.back();
        CHECK(ReadBytes(model, name, whole.at, task->own.size()) == task->own, "seed %llu, whole", seed);
      }
    }
    CHECK(before - FreeBytes(*set) == model.state().bytes, "bytes: %llu in use, %llu told",
          static_cast<unsigned long long>(before - FreeBytes(*set)),
          static_cast<unsigned long long>(model.state().bytes));
  }
  CHECK(FreeBytes(*set) == before, "seed %llu: memory stays allocated", seed);
}

/// A task with nothing but stored bytes.
ResidentTaskPlan Stored(const std::string& name, Bytes& bytes) {
  ResidentTaskPlan plan;
  plan.name = name;
  plan.own_bytes = bytes.size();
  plan.stored.push_back({"w", Region::OfMemory(bytes.data(), bytes.size()), 0});
  return plan;
}

void TestMemory() {
  const auto set = OpenSet(64 * kMiB);
  const uint64_t before = FreeBytes(*set);
  Bytes some(16 * kMiB, 1), more(30 * kMiB, 2), most(50 * kMiB, 3);
  RunControl control = Control();
  CHECK(CodeOf([&] { ResidentModel(set, 65 * kMiB); },
               "needs 69206016 bytes of GPU memory, but 67108864 are left") == "OUT_OF_MEMORY",
        "a model that does not fit");
  {
    ResidentModel model(set, 20 * kMiB);
    model.LoadMerged({}, control);
    const auto loaded = [&](const std::vector<std::string>& names) {
      const ResidentState state = model.state();
      std::string text;
      for (const std::string& name : state.loaded) text += name + " ";
      CHECK(state.loaded == names, "loaded: %s", text.c_str());
    };
    model.AddTask(Stored("a", some), true, control);
    model.AddTask(Stored("b", some), true, control);
    model.SwitchTo("a", control);
    loaded({"b", "a"});
    CHECK(CodeOf([&] { model.AddTask(Stored("c", some), false, control); }) == "OUT_OF_MEMORY", "drop false");
    loaded({"b", "a"});
    model.AddTask(Stored("c", some), true, control);  // b was not used for longest
    loaded({"a", "c"});
    CHECK(CodeOf([&] { model.AddTask(Stored("d", most), true, control); },
                 "task 'd' needs 52428800 bytes of GPU memory, but 46137088 are left once other tasks are "
                 "dropped") == "OUT_OF_MEMORY",
          "more than there is");
    loaded({"a", "c"});
    CHECK(model.state().current == "a", "nothing is dropped in vain");
    // Memory that someone else holds stays.
    auto held = model.Share("c", 0, 1);
    CHECK(CodeOf([&] { model.AddTask(Stored("d", more), true, control); }) == "OUT_OF_MEMORY", "held");
    held.reset();
    model.AddTask(Stored("d", more), true, control);  // even the current one has to go
    loaded({"d"});
    CHECK(!model.state().current, "θ* is left");
    model.SwitchTo("d", control);
    CHECK(CodeOf([&] { model.DropTask("d"); }) == "INVALID_ARGUMENT", "in use");
    model.SwitchTo(std::nullopt, control);
    model.DropTask("d");
    model.DropTask("d");
    loaded({});
    CHECK(CodeOf([&] { model.SwitchTo("d", control); }, "'d' is not loaded") == "INVALID_ARGUMENT", "gone");
  }
  CHECK(FreeBytes(*set) == before, "memory stays allocated");
}

/// What lies in a task's arrays is refused before anything is on the device.
void TestLies() {
  Random random(11);
  const auto set = OpenSet(64 * kMiB);
  Bytes merged(2 * 70000);
  ResidentModel model(set, merged.size());
  RunControl control = Control();
  model.LoadMerged({{"t", Region::OfMemory(merged.data(), merged.size()), 0}}, control);
  const Tensor tensor{"t", Dtype::kBF16, 0, 70000, 70000};
  const uint64_t bytes = model.state().bytes;
  const auto refused = [&](const char* what, const char* code, const std::function<void(Task&)>& lie) {
    Task task;
    task.plan.name = "x";
    task.expected = merged;
    while (task.plan.deltas.empty() || task.plan.deltas[0].delta.index != IndexCode::kU16) {
      task.plan.deltas.clear();
      task.arrays.clear();
      AddDelta(random, tensor, 70000, &task);
      if (!task.plan.deltas.empty() && task.plan.deltas[0].delta.kept < 4) task.plan.deltas.clear();
    }
    lie(task);
    const std::string got = CodeOf([&] { model.AddTask(task.plan, true, control); });
    CHECK(got == code, "%s: '%s'", what, got.c_str());
    CHECK(model.state().bytes == bytes && model.state().loaded.empty(), "%s left something", what);
  };
  const auto positions = [](Task& task) {
    return reinterpret_cast<uint16_t*>(task.plan.deltas[0].delta.index_bytes.memory());
  };
  refused("equal positions", "PACK_INVALID", [&](Task& task) { positions(task)[1] = positions(task)[0]; });
  refused("a position behind the end", "PACK_INVALID",
          [&](Task& task) { positions(task)[task.plan.deltas[0].delta.kept - 1] = 65535; });
  refused("starts that fall", "PACK_INVALID", [](Task& task) {
    reinterpret_cast<uint32_t*>(task.plan.deltas[0].delta.blocks.memory())[1] = 0xFFFFFFFF;
  });
  refused("another count", "PACK_INVALID", [](Task& task) { task.plan.deltas[0].delta.kept--; });
  refused("a bitmap of other bits", "PACK_INVALID", [&](Task& task) {
    Bytes bits(8750, 0xFF);
    task.plan.deltas[0].delta.index = IndexCode::kBitmap;
    task.plan.deltas[0].delta.index_bytes = task.Keep(bits.data(), bits.size());
  });
  refused("more elements than memory", "INVALID_ARGUMENT",
          [](Task& task) { task.plan.deltas[0].at = 2 * kMiB - 256; });
  refused("two deltas on one tensor", "INVALID_ARGUMENT",
          [](Task& task) { task.plan.deltas.push_back(task.plan.deltas[0]); });
  refused("a tail outside", "INVALID_ARGUMENT", [](Task& task) {
    task.plan.tails.push_back({0, 0, 0, 8, 0});
  });
  RunControl cancelled = Control();
  cancelled.Stop();
  Task task;
  task.plan.name = "x";
  task.expected = merged;
  while (task.plan.deltas.empty()) AddDelta(random, tensor, 70000, &task);
  CHECK(CodeOf([&] { model.AddTask(task.plan, true, cancelled); }) == "CANCELLED", "cancelled");
  CHECK(model.state().bytes == bytes && model.state().loaded.empty(), "a cancelled load left something");
  model.AddTask(task.plan, true, control);
  CHECK(CodeOf([&] { ReadBytes(model, std::nullopt, 2 * kMiB - 1, 2); }) == "INVALID_ARGUMENT",
        "read outside");
}

void TestDlpack() {
  const auto set = OpenSet(64 * kMiB);
  const uint64_t before = FreeBytes(*set);
  RunControl control = Control();
  DlpackTensor* matrix = nullptr;
  DlpackTensor* packed = nullptr;
  {
    ResidentModel model(set, 4096);
    model.LoadMerged({}, control);
    CHECK(model.ExportHandle(std::nullopt).size() == 64, "a handle has 64 bytes");
    matrix = NewDlpackTensor(model.Share(std::nullopt, 256, 24), 256, 24, "BF16", {3, 4});
    packed = NewDlpackTensor(model.Share(std::nullopt, 512, 6), 512, 6, "F4", {3, 4});
    CHECK(reinterpret_cast<uint64_t>(matrix->data) == model.state().merged_address + 256, "data");
  }
  CHECK(FreeBytes(*set) == before - 2 * kMiB, "who took a tensor keeps the memory");
  CHECK(matrix->device_type == 2 && matrix->device_id == 0 && matrix->ndim == 2, "device and rank");
  CHECK(matrix->type_code == 4 && matrix->type_bits == 16 && matrix->type_lanes == 1, "bf16");
  CHECK(matrix->shape[0] == 3 && matrix->shape[1] == 4 && matrix->strides[0] == 4 && matrix->strides[1] == 1,
        "shape and strides");
  CHECK(packed->type_code == 1 && packed->type_bits == 8 && packed->ndim == 1 && packed->shape[0] == 6,
        "bytes");
  matrix->deleter(matrix);
  std::thread([&] { packed->deleter(packed); }).join();
  CHECK(FreeBytes(*set) == before, "memory stays allocated");
}

void TestLostDevice() {
  Random random(3);
  const auto set = OpenSet(64 * kMiB);
  const Model source = RandomModel(random);
  ResidentModel model(set, source.merged.size());
  RunControl control = Control();
  model.LoadMerged(source.copies, control);
  auto task = RandomTask(random, source, "a");
  while (task->plan.deltas.empty()) task = RandomTask(random, source, "a");
  model.AddTask(task->plan, true, control);
  setenv("TASKFOLD_EMULATED_ERROR", "launch=719", 1);
  CHECK(CodeOf([&] { model.SwitchTo("a", control); }, "can't be used any more") == "DEVICE_UNAVAILABLE",
        "lost");
  unsetenv("TASKFOLD_EMULATED_ERROR");
  CHECK(CodeOf([&] { model.SwitchTo(std::nullopt, control); }, "can't be used any more") ==
            "DEVICE_UNAVAILABLE",
        "still lost");
  CHECK(CodeOf([&] { ReadBytes(model, std::nullopt, 0, 1); }) == "DEVICE_UNAVAILABLE", "nor read");
}

/// Calls from several threads, and state() meanwhile.
void TestThreads() {
  Random random(5);
  const auto set = OpenSet(64 * kMiB);
  const Model source = RandomModel(random);
  ResidentModel model(set, source.merged.size());
  RunControl control = Control();
  model.LoadMerged(source.copies, control);
  const auto a = RandomTask(random, source, "a"), b = RandomTask(random, source, "b");
  model.AddTask(a->plan, true, control);
  model.AddTask(b->plan, true, control);
  std::vector<std::thread> threads;
  for (const char* name : {"a", "b"}) {
    threads.emplace_back([&, name] {
      RunControl own = Control();
      for (int i = 0; i < 10; i++) {
        model.SwitchTo(name, own);
        ReadBytes(model, std::nullopt, 0, 100);
        (void)model.state();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  model.SwitchTo(std::nullopt, control);
  const Bytes dense = ReadBytes(model, std::nullopt, 0, source.merged.size());
  for (const Tensor& tensor : source.tensors) {
    CHECK(memcmp(dense.data() + tensor.at, source.merged.data() + tensor.at,
                 tensor.elements * ItemSize(tensor.dtype)) == 0,
          "%s after threads", tensor.name.c_str());
  }
}

}  // namespace

int main() {
  for (unsigned long long seed = 1; seed <= 12; seed++) {
    setenv("TASKFOLD_EMULATED_ORDER", std::to_string(seed % 3).c_str(), 1);
    TestSwitches(seed);
  }
  TestMemory();
  TestLies();
  TestDlpack();
  TestLostDevice();
  TestThreads();
  std::puts("resident_model: all checks passed");
  return 0;
}
