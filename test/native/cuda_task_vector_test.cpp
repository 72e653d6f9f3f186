// Merging and counting: the emulated kernels against the CPU backend and a plain loop, over random shapes and
// hard values, in every order of threads.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/registry.h"
#include "core/float_convert.h"
#include "core/magnitude_key.h"
#include "cuda_kernel_test.h"

using namespace taskfold;

namespace {

template <Dtype kDtype>
using Items = std::vector<typename Storage<kDtype>::Raw>;

/// What values of a tensor are like.
enum class Kind { kAnyBits, kNearOne, kFewValues, kZeros, kKinds };

template <Dtype kDtype>
Items<kDtype> RandomItems(size_t n, Kind kind, Random& random) {
  constexpr float kSpecial[] = {0.0f,      -0.0f, 1e-40f, 6e-8f,    INFINITY,
                                -INFINITY, NAN,   448.0f, 57344.0f, 1e38f};
  Items<kDtype> items(n);
  for (auto& item : items) {
    const auto any = static_cast<typename Storage<kDtype>::Raw>(random.Next() >> 11);
    switch (kind) {
      case Kind::kAnyBits:
        item = any;
        break;
      case Kind::kNearOne:
        item = Storage<kDtype>::Round(0.5f + static_cast<float>(random.Below(100000)) / 65536.0f);
        if (random.Below(64) == 0) item = Storage<kDtype>::Round(kSpecial[random.Below(10)]);
        break;
      case Kind::kFewValues:  // so that many keys are equal
        item = Storage<kDtype>::Round(static_cast<float>(random.Below(9)) / 4.0f - 1.0f);
        break;
      default:
        item = Storage<kDtype>::Round(random.Below(2) == 0 ? 0.0f : -0.0f);
    }
  }
  return items;
}

/// A window, and what a plain loop over a task's keys finds for it.
struct Expected {
  tf_cuda_window window = {};  // without pointers
  std::vector<uint64_t> counts;
  uint64_t above = 3;  // every counter had something in it before
  bool has_nan = false;
};

Expected ExpectedFor(uint32_t low, uint32_t end, uint32_t shift, const std::vector<uint32_t>& keys) {
  Expected expected;
  const uint32_t bins = low == end ? 0 : ((end - 1 - low) >> shift) + 1;
  expected.window = {low, end, shift, bins, nullptr, nullptr};
  expected.counts.assign(bins, 7);
  for (const uint32_t key : keys) {
    expected.has_nan |= key == kNaNKey;
    if (key >= end) {
      expected.above++;
    } else if (key >= low) {
      expected.counts[(key - low) >> shift]++;
    }
  }
  return expected;
}

Expected RandomWindow(const std::vector<uint32_t>& keys, Random& random) {
  const auto some_key = [&] {
    return keys.empty() ? 5 : keys[random.Below(static_cast<unsigned>(keys.size()))];
  };
  switch (random.Below(6)) {
    case 0:  // the whole space
      return ExpectedFor(0, kKeyEnd, 16 + random.Below(6), keys);
    case 1:  // one key
    {
      const uint32_t key = some_key();
      return ExpectedFor(key, key + 1, 0, keys);
    }
    case 2:  // narrow, one key a bin
    {
      const uint32_t key = some_key();
      return ExpectedFor(key - std::min(key, 700u), std::min(key + 900, kKeyEnd), 0, keys);
    }
    case 3:  // between two keys
    {
      const auto [low, high] = std::minmax({some_key(), some_key()});
      return ExpectedFor(low, high + 1, 16 + random.Below(6), keys);
    }
    case 4:  // empty, in the middle
    {
      const uint32_t key = some_key();
      return ExpectedFor(key, key, 0, keys);
    }
    default:  // only NaN is looked for
      return ExpectedFor(kKeyEnd, kKeyEnd, 0, keys);
  }
}

/// The windows' counters on the device, one behind the other.
struct Counters {
  DeviceArray<uint64_t> counts;
  DeviceArray<tf_cuda_tally> tallies;
  std::vector<tf_cuda_window> windows;

  Counters(const CudaTest& test, const std::vector<Expected>& all)
      : counts(test.Upload(std::vector<uint64_t>(AllCounts(all).size(), 7))),
        tallies(test.Upload(std::vector<tf_cuda_tally>(all.size(), {3, 0}))) {
    uint64_t* next = counts.data();
    for (size_t t = 0; t < all.size(); t++) {
      windows.push_back(all[t].window);
      windows.back().counts = next;
      windows.back().tally = tallies.data() + t;
      next += Room(all[t]);
    }
  }
  void Check(const CudaTest& test, const std::vector<Expected>& all, const char* what) const {
    const auto found = test.Download(tallies);
    for (size_t t = 0; t < all.size(); t++) {
      CHECK(found[t].above == all[t].above, "%s: task %zu, window %08x to %08x: %llu above, expected %llu",
            what, t, all[t].window.low, all[t].window.end, static_cast<unsigned long long>(found[t].above),
            static_cast<unsigned long long>(all[t].above));
      CHECK((found[t].has_nan != 0) == all[t].has_nan, "%s: task %zu: NaN", what, t);
    }
    const auto found_counts = test.Download(counts), expected = AllCounts(all);
    for (size_t i = 0; i < expected.size(); i++) {
      CHECK(found_counts[i] == expected[i], "%s: counter %zu of all windows: %llu, expected %llu", what, i,
            static_cast<unsigned long long>(found_counts[i]), static_cast<unsigned long long>(expected[i]));
    }
  }

 private:
  /// Each window's counters start at 16 bytes.
  static size_t Room(const Expected& expected) { return (expected.counts.size() + 1) / 2 * 2; }
  static std::vector<uint64_t> AllCounts(const std::vector<Expected>& all) {
    std::vector<uint64_t> counts;
    for (const Expected& expected : all) {
      counts.insert(counts.end(), expected.counts.begin(), expected.counts.end());
      if (expected.counts.size() % 2 != 0) counts.push_back(7);
    }
    return counts;
  }
};

template <Dtype kDtype>
std::vector<uint32_t> KeysOf(const Items<kDtype>& task, const Items<kDtype>* merged) {
  std::vector<uint32_t> keys(task.size());
  for (size_t i = 0; i < keys.size(); i++) {
    float u = Storage<kDtype>::Widen(task[i]);
    if (merged != nullptr) u = u - Storage<kDtype>::Widen((*merged)[i]);
    keys[i] = MagnitudeKey(u);
  }
  return keys;
}

/// The plain loop agrees with the CPU backend, piece by piece.
template <Dtype kDtype>
void CheckCpuTally(const Items<kDtype>& task, const Items<kDtype>* merged, const Expected& expected) {
  std::vector<uint64_t> counts(expected.counts.size(), 7);
  std::vector<uint32_t> keys(TF_MAX_PIECE);
  uint64_t above = 3;
  bool has_nan = false;
  for (size_t first = 0; first < task.size(); first += TF_MAX_PIECE) {
    TfTally tally = {0, 0, 0, keys.data()};
    ActiveBackend().tally(static_cast<int32_t>(kDtype), std::min<size_t>(TF_MAX_PIECE, task.size() - first),
                          merged != nullptr ? merged->data() + first : nullptr, task.data() + first,
                          {expected.window.low, expected.window.end}, &tally);
    above += tally.above;
    has_nan |= tally.has_nan != 0;
    for (uint32_t i = 0; i < tally.inside; i++)
      counts[(keys[i] - expected.window.low) >> expected.window.shift]++;
  }
  CHECK(above == expected.above && has_nan == expected.has_nan && counts == expected.counts,
        "the CPU backend, %s", DtypeName(kDtype));
}

template <Dtype kDtype>
Items<kDtype> ExpectedMerge(const Items<kDtype>& base, const std::vector<Items<kDtype>>& tasks,
                            float lambda) {
  Items<kDtype> merged(base.size());
  for (size_t i = 0; i < base.size(); i++) {
    const float from = Storage<kDtype>::Widen(base[i]);
    float sum = 0;
    for (const auto& task : tasks) sum = sum + (Storage<kDtype>::Widen(task[i]) - from);
    merged[i] = Storage<kDtype>::Round(std::fma(lambda, sum, from));
  }
  std::vector<const void*> pointers;
  for (const auto& task : tasks) pointers.push_back(task.data());
  Items<kDtype> cpu(base.size());
  ActiveBackend().merge(static_cast<int32_t>(kDtype), base.size(), base.data(), pointers.data(), tasks.size(),
                        lambda, cpu.data());
  CHECK(cpu == merged, "the CPU backend, %s", DtypeName(kDtype));
  return merged;
}

template <Dtype kDtype>
void CheckMerge(const CudaTest& test, size_t n, size_t task_count, float lambda, Random& random) {
  const auto kind = static_cast<Kind>(random.Below(static_cast<unsigned>(Kind::kKinds)));
  const auto base = RandomItems<kDtype>(n, kind, random);
  std::vector<Items<kDtype>> tasks;
  for (size_t t = 0; t < task_count; t++) tasks.push_back(RandomItems<kDtype>(n, kind, random));
  const auto merged = ExpectedMerge<kDtype>(base, tasks, lambda);
  std::vector<Expected> expected;
  for (const auto& task : tasks) {
    expected.push_back(RandomWindow(KeysOf<kDtype>(task, &merged), random));
    CheckCpuTally<kDtype>(task, &merged, expected.back());
  }
  const bool merged_nan = std::any_of(merged.begin(), merged.end(), [](const auto& item) {
    return std::isnan(Storage<kDtype>::Widen(item));
  });

  const auto device_base = test.Upload(base);
  std::vector<DeviceArray<typename Storage<kDtype>::Raw>> device_tasks;
  std::vector<const void*> pointers;
  for (const auto& task : tasks) {
    device_tasks.push_back(test.Upload(task));
    pointers.push_back(device_tasks.back().data());
  }
  for (int order = 0; order < CudaTest::kOrders; order++) {
    CudaTest::Order(order);
    for (const bool ranked : {true, false}) {
      char what[128];
      std::snprintf(what, sizeof what, "%s, %zu elements, %zu tasks, values %d, order %d, ranked %d",
                    DtypeName(kDtype), n, task_count, static_cast<int>(kind), order, ranked);
      Counters counters(test, expected);
      const auto out = test.Allocate<typename Storage<kDtype>::Raw>(n);
      const auto tally = test.Upload(std::vector<tf_cuda_tally>{{11, 0}});
      test.Call(
          test.cuda.merge,
          tf_cuda_merge_job{static_cast<int32_t>(kDtype), static_cast<uint32_t>(task_count), n,
                            device_base.data(), pointers.data(), lambda, out.data(),
                            ranked ? counters.windows.data() : nullptr, order == 1 ? nullptr : tally.data()});
      // Jobs are read before the call returns.
      std::fill(counters.windows.begin(), counters.windows.end(), tf_cuda_window{});
      CHECK(test.Download(out) == merged, "%s: merged", what);
      if (ranked) counters.Check(test, expected, what);
      const tf_cuda_tally found = test.Download(tally)[0];
      CHECK(found.above == 11 && (found.has_nan != 0) == (merged_nan && order != 1), "%s: NaN in θ*", what);
    }
  }
}

template <Dtype kDtype>
void CheckCount(const CudaTest& test, size_t n, Random& random) {
  const auto kind = static_cast<Kind>(random.Below(static_cast<unsigned>(Kind::kKinds)));
  const auto task = RandomItems<kDtype>(n, kind, random), merged = RandomItems<kDtype>(n, kind, random);
  const auto device_task = test.Upload(task), device_merged = test.Upload(merged);
  for (const bool has_merged : {true, false}) {
    const Items<kDtype>* minus = has_merged ? &merged : nullptr;
    const std::vector<Expected> expected = {RandomWindow(KeysOf<kDtype>(task, minus), random)};
    CheckCpuTally<kDtype>(task, minus, expected[0]);
    for (int order = 0; order < CudaTest::kOrders; order++) {
      CudaTest::Order(order);
      char what[128];
      std::snprintf(what, sizeof what, "count: %s, %zu elements, values %d, order %d, merged %d",
                    DtypeName(kDtype), n, static_cast<int>(kind), order, has_merged);
      const Counters counters(test, expected);
      test.Call(test.cuda.count, tf_cuda_count_job{static_cast<int32_t>(kDtype), n,
                                                   has_merged ? device_merged.data() : nullptr,
                                                   device_task.data(), counters.windows[0]});
      counters.Check(test, expected, what);
    }
  }
}

template <Dtype kDtype>
void CheckDtype(const CudaTest& test, Random& random) {
  constexpr float kLambdas[] = {0.3f, 0.0f, 1.0f, -0.7f, 1e-30f, 3e38f};
  constexpr size_t kLengths[] = {0, 1, 7, 8, 15, 16, 17, 4095, 4097, 65536 + 3};
  constexpr size_t kTaskCounts[] = {1, 2, 3, 8, 64};
  for (const size_t n : kLengths) {
    for (const size_t task_count : kTaskCounts) {
      if (n * task_count > 600000) continue;
      CheckMerge<kDtype>(test, n, task_count, kLambdas[random.Below(6)], random);
    }
    for (int i = 0; i < 3; i++) CheckCount<kDtype>(test, n, random);
  }
  CheckMerge<kDtype>(test, 299993, 2, 0.4f, random);
  CheckMerge<kDtype>(test, 5003, 64, 0.05f, random);
  CheckCount<kDtype>(test, 299993, random);
}

void CheckMergeRefusals(const CudaTest& test) {
  const auto items = test.Upload(std::vector<float>(32, 1)), out = test.Upload(std::vector<float>(32, 2));
  const auto counts = test.Upload(std::vector<uint64_t>(4, 0));
  const auto tally = test.Upload(std::vector<tf_cuda_tally>(1));
  const void* pointers[TF_CUDA_MAX_TASKS + 1] = {items.data()};
  const tf_cuda_window good = {8, 16, 1, 4, counts.data(), tally.data()};
  const tf_cuda_merge_job fine = {0, 1, 16, items.data(), pointers, 0.5f, out.data(), &good, nullptr};
  const auto refused = [&](const auto& spoil) {
    tf_cuda_merge_job job = fine;
    tf_cuda_window window = good;
    job.windows = &window;
    spoil(job, window);
    test.Refused(test.cuda.merge, job);
  };
  refused([](auto& job, auto&) { job.dtype = 5; });
  refused([](auto& job, auto&) { job.dtype = -1; });
  refused([](auto& job, auto&) { job.task_count = 0; });
  refused([](auto& job, auto&) { job.task_count = TF_CUDA_MAX_TASKS + 1; });
  refused([](auto& job, auto&) { job.task_count = 2; });  // the second one is null
  refused([](auto& job, auto&) { job.base = nullptr; });
  refused([](auto& job, auto&) { job.tasks = nullptr; });
  refused([](auto& job, auto&) { job.merged = nullptr; });
  refused([&](auto& job, auto&) { job.base = items.data() + 1; });
  refused([&](auto& job, auto&) { job.merged = out.data() + 1; });
  refused([](auto&, auto& window) { window.bins = 3; });
  refused([](auto&, auto& window) { window.bins = 5; });
  refused([](auto&, auto& window) { window.low = 17; });
  refused([](auto&, auto& window) { window.end = kKeyEnd + 1; });
  refused([](auto&, auto& window) { window.shift = 32; });
  refused([](auto&, auto& window) { window.counts = nullptr; });
  refused([](auto&, auto& window) { window.tally = nullptr; });
  const void* crooked[] = {items.data() + 2};
  refused([&](auto& job, auto&) { job.tasks = crooked; });
  CHECK(test.Download(out) == std::vector<float>(32, 2), "a refused job wrote something");
  test.Call(test.cuda.merge, fine);
  test.Call(test.cuda.merge, tf_cuda_merge_job{0, 1, 0, nullptr, nullptr, 1, nullptr, nullptr, nullptr});

  const tf_cuda_count_job count = {0, 16, nullptr, items.data(), good};
  const auto count_refused = [&](const auto& spoil) {
    tf_cuda_count_job job = count;
    spoil(job);
    test.Refused(test.cuda.count, job);
  };
  count_refused([](auto& job) { job.dtype = 5; });
  count_refused([](auto& job) { job.task = nullptr; });
  count_refused([&](auto& job) { job.task = items.data() + 1; });
  count_refused([&](auto& job) { job.merged = items.data() + 1; });
  count_refused([](auto& job) { job.window.bins = 0; });
  test.Call(test.cuda.count, count);
  test.Call(test.cuda.count, tf_cuda_count_job{0, 0, nullptr, nullptr, {}});
  test.Wait();
}

}  // namespace

int main() {
  const CudaTest test;
  CheckMergeRefusals(test);
  Random random(5);
  for (int dtype = 0; dtype < kDtypeCount; dtype++) {
    VisitDtype(static_cast<Dtype>(dtype), [&]<Dtype kDtype>() { CheckDtype<kDtype>(test, random); });
  }
  std::puts("ok");
}
