// Deltas on the CUDA plug-in (emulated): scatter and in-place switching against obvious loops and the CPU
// backend, bit for bit, in every order of threads; and what deltas that lie can do.
#include <algorithm>
#include <cstring>
#include <iterator>

#include "backend/registry.h"
#include "core/block_scatter.h"
#include "cuda_kernel_test.h"
#include "delta_scatter.h"

using namespace taskfold;

namespace {

constexpr uint64_t kLengths[] = {0, 1, 7, 63, 64, 65, 65535, 65536, 65537, 200003};
constexpr double kDensities[] = {0, 0.001, 0.05, 0.5, 1};

template <class Item>
std::vector<Item> RandomItems(uint64_t n, Random& random) {
  std::vector<Item> items(n);
  for (Item& item : items) item = static_cast<Item>(random.Next());
  return items;
}

template <class To>
std::vector<uint8_t> Bytes(const std::vector<uint64_t>& numbers) {
  const std::vector<To> narrow(numbers.begin(), numbers.end());
  const auto* first = reinterpret_cast<const uint8_t*>(narrow.data());
  return {first, first + narrow.size() * sizeof(To)};
}

/// A delta in host memory, its arrays as long as they are said to be and no longer.
template <class Item>
struct Delta {
  uint64_t elements;
  uint32_t start_bytes;
  int32_t code;
  std::vector<uint64_t> where;  // flat positions
  std::vector<uint64_t> start_numbers{0};
  std::vector<uint8_t> starts, index;
  std::vector<Item> values;

  Delta(uint64_t n, double density, Random& random)
      : elements(n), start_bytes(random.Below(2) ? 4 : 8), code(static_cast<int32_t>(random.Below(2))) {
    std::vector<uint64_t> inside;
    std::vector<uint8_t> bitmap((n + 7) / 8);
    for (uint64_t i = 0; i < n; i++) {
      if (static_cast<double>(random.Below(1000000)) < density * 1e6) {
        where.push_back(i);
        inside.push_back(i % kBlockElements);
        bitmap[i / 8] = static_cast<uint8_t>(bitmap[i / 8] | 1 << i % 8);
      }
      if (i + 1 == n || (i + 1) % kBlockElements == 0) start_numbers.push_back(where.size());
    }
    SetStarts();
    index = code == TF_CUDA_INDEX_BITMAP ? bitmap : Bytes<uint16_t>(inside);
    values = RandomItems<Item>(where.size(), random);
  }
  void SetStarts() {
    starts = start_bytes == 4 ? Bytes<uint32_t>(start_numbers) : Bytes<uint64_t>(start_numbers);
  }
  tf_cuda_delta OnHost() {
    return {starts.data(), index.data(), values.data(), values.size(), start_bytes, code};
  }
};

/// A delta's arrays in device memory.
template <class Item>
struct DeviceDelta {
  DeviceArray<uint8_t> starts, index;
  DeviceArray<Item> values;
  tf_cuda_delta delta;
  DeviceDelta(const CudaTest& test, const Delta<Item>& from)
      : starts(test.Upload(from.starts)),
        index(test.Upload(from.index)),
        values(test.Upload(from.values)),
        delta{starts.data(), index.data(), values.data(), from.values.size(), from.start_bytes, from.code} {}
};

template <class Item>
std::vector<Item> Patched(std::vector<Item> dense, const Delta<Item>& delta) {
  for (size_t i = 0; i < delta.where.size(); i++) dense[delta.where[i]] = delta.values[i];
  return dense;
}

template <class Item>
std::vector<Item> PatchedByBackend(std::vector<Item> dense, const Delta<Item>& delta) {
  const TfBackend& backend = ActiveBackend();
  for (uint64_t b = 0; b < BlockCount(dense.size()); b++) {
    const size_t n = ElementsOfBlock(dense.size(), b);
    const uint64_t begin = delta.start_numbers[b], count = delta.start_numbers[b + 1] - begin;
    Item* to = dense.data() + b * kBlockElements;
    if (delta.code == TF_CUDA_INDEX_BITMAP) {
      std::vector<uint64_t> bits((n + 63) / 64, 0);
      memcpy(bits.data(), delta.index.data() + b * kBlockElements / 8, (n + 7) / 8);
      backend.scatter_bitmap(sizeof(Item), n, to, bits.data(), delta.values.data() + begin);
    } else if (count > 0) {
      const auto* positions = reinterpret_cast<const uint16_t*>(delta.index.data()) + begin;
      CHECK(backend.scatter_u16(sizeof(Item), n, to, positions, delta.values.data() + begin, count) == 1,
            "u16");
    }
  }
  return dense;
}

template <class Item>
void CheckScatter(const CudaTest& test, Random& random) {
  for (const uint64_t n : kLengths) {
    for (const double density : kDensities) {
      const Delta<Item> delta(n, density, random);
      const auto original = RandomItems<Item>(n, random);
      const auto expected = Patched(original, delta);
      CHECK(PatchedByBackend(original, delta) == expected, "the CPU backend differs from the loop");
      const int order = static_cast<int>(random.Below(CudaTest::kOrders));
      CudaTest::Order(order);
      const auto dense = test.Upload(original);
      const DeviceDelta<Item> on_device(test, delta);
      const auto refused = test.Upload(std::vector<uint64_t>{3});
      test.Call(test.cuda.scatter,
                tf_cuda_scatter_job{dense.data(), n, sizeof(Item), on_device.delta, refused.data()});
      CHECK(test.Download(dense) == expected && test.Download(refused)[0] == 3,
            "%d bytes, %d elements, density %g, code %d, order %d", static_cast<int>(sizeof(Item)),
            static_cast<int>(n), density, delta.code, order);
      CHECK(test.Download(on_device.values) == delta.values, "values changed");
    }
  }
}

/// One tensor of a model on the device with the deltas of two tasks.
template <class Item>
struct SwapTensor {
  std::vector<Item> original;
  Delta<Item> s, t;
  DeviceArray<Item> dense;
  DeviceDelta<Item> on_s, on_t;
  SwapTensor(const CudaTest& test, uint64_t n, double density, Random& random)
      : original(RandomItems<Item>(n, random)),
        s(n, density, random),
        t(n, density / 2, random),
        dense(test.Upload(original)),
        on_s(test, s),
        on_t(test, t) {}
  tf_cuda_swap_tensor Job(uint64_t first_block, int leave, int enter) const {
    const tf_cuda_delta choices[] = {{}, on_s.delta, on_t.delta};
    return {dense.data(), original.size(), sizeof(Item), 0, first_block, choices[leave], choices[enter]};
  }
  /// task: 0 θ*, 1 s, 2 t.
  void CheckHolds(const CudaTest& test, int task) const {
    const auto expected = task == 0 ? original : Patched(original, task == 1 ? s : t);
    CHECK(test.Download(dense) == expected, "task %d, %d bytes, %d elements", task,
          static_cast<int>(sizeof(Item)), static_cast<int>(original.size()));
    if (task != 1) CHECK(test.Download(on_s.values) == s.values, "values of s");
    if (task != 2) CHECK(test.Download(on_t.values) == t.values, "values of t");
  }
};

void CheckSwap(const CudaTest& test, double density, int order, Random& random) {
  CudaTest::Order(order);
  std::vector<SwapTensor<uint8_t>> bytes;
  std::vector<SwapTensor<uint16_t>> halves;
  std::vector<SwapTensor<uint32_t>> floats;
  std::vector<SwapTensor<uint64_t>> doubles;
  for (const uint64_t n : {0, 1, 65537, 200003}) {
    bytes.emplace_back(test, n, density, random);
    halves.emplace_back(test, n, density, random);
    halves.emplace_back(test, n + 64, density, random);
    floats.emplace_back(test, n, density, random);
    doubles.emplace_back(test, n, density, random);
  }
  const auto switch_to = [&](int leave, int enter) {
    std::vector<tf_cuda_swap_tensor> list;
    uint64_t blocks = 0;
    const auto add = [&](const auto& tensor) {
      list.push_back(tensor.Job(blocks, leave, enter));
      blocks += BlockCount(tensor.original.size());
    };
    // Of each length in turn, so that item sizes alternate.
    for (size_t i = 0; i < bytes.size(); i++) {
      add(bytes[i]);
      add(halves[2 * i]);
      add(floats[i]);
      add(doubles[i]);
      add(halves[2 * i + 1]);
    }
    const auto tensors = test.Upload(list);
    const auto refused = test.Upload(std::vector<uint64_t>{0});
    test.Call(test.cuda.swap,
              tf_cuda_swap_job{tensors.data(), static_cast<uint32_t>(list.size()), blocks, refused.data()});
    CHECK(test.Download(refused)[0] == 0, "refused");
    const auto holds = [&](const auto& all) {
      for (const auto& tensor : all) tensor.CheckHolds(test, enter);
    };
    holds(bytes);
    holds(halves);
    holds(floats);
    holds(doubles);
  };
  int now = 0;
  for (const int next : {1, 2, 2, 1, 0, 2, 0}) {
    switch_to(now, next);
    now = next;
  }
}

/// By hand on the heap, where the address sanitizer sees every step outside an array.
template <class Body>
void RunByHand(const Body& body, uint32_t grid, int order) {
  alignas(16) static unsigned char shared[48 * 1024];
  for (uint32_t i = 0; i < grid; i++) {
    cuda::HostBlock<Body::kThreads> block(i, grid, shared, static_cast<cuda::ThreadOrder>(order));
    body(block);
  }
}

template <class Item>
uint64_t Scatter(Delta<Item>& delta, std::vector<Item>& dense, int order) {
  uint64_t refused = 0;
  RunByHand(cuda::ScatterBody<Item>{{dense.data(), dense.size(), &refused}, delta.OnHost()}, 2, order);
  return refused;
}

/// Spoils a delta somehow.
template <class Item>
void Spoil(Delta<Item>& delta, Random& random) {
  for (int i = 0; i < 3; i++) {
    if (random.Below(2)) {
      uint64_t& start = delta.start_numbers[random.Below(static_cast<unsigned>(delta.start_numbers.size()))];
      const uint64_t lies[] = {0, start + 1, start / 2, delta.values.size() + 1, ~uint64_t{0}, random.Next()};
      start = lies[random.Below(std::size(lies))];
      delta.SetStarts();
    } else if (!delta.index.empty()) {
      delta.index[random.Below(static_cast<unsigned>(delta.index.size()))] ^=
          static_cast<uint8_t>(random.Next());
      if (random.Below(3) == 0) delta.index.back() = 0xFF;
    }
  }
}

template <class Item>
void CheckHostile(Random& random) {
  for (int i = 0; i < 150; i++) {
    const uint64_t n = kLengths[1 + random.Below(std::size(kLengths) - (i % 8 == 0 ? 1 : 2))];
    Delta<Item> leave(n, kDensities[1 + random.Below(4)], random),
        enter(n, kDensities[1 + random.Below(4)], random);
    const auto original = RandomItems<Item>(n, random);
    auto dense = original;
    const int order = static_cast<int>(random.Below(3));
    CHECK(Scatter(enter, dense, order) == 0 && dense == Patched(original, enter), "true, by hand");
    Spoil(leave, random);
    Spoil(enter, random);
    Scatter(leave, dense, order);
    Scatter(enter, dense, order);
    uint64_t refused = 0;
    const tf_cuda_swap_tensor tensor{dense.data(), n, sizeof(Item), 0, 0, leave.OnHost(), enter.OnHost()};
    RunByHand(cuda::SwapBody<Item>{&tensor, 1, BlockCount(n), &refused}, 2, order);
  }
}

/// Each lie by itself: how many entries are refused, and that the others are where they belong.
void CheckLies(Random& random) {
  const uint64_t n = 65536 + 100;
  const auto original = RandomItems<uint16_t>(n, random);
  for (int order = 0; order < 3; order++) {
    for (int32_t code = 0; code < 2; code++) {
      Delta<uint16_t> delta(n, 0.01, random);
      while (delta.code != code || delta.values.size() - delta.start_numbers[1] < 1) {
        delta = Delta<uint16_t>(n, 0.01, random);
      }
      const uint64_t kept = delta.values.size();
      auto dense = original;
      if (code == TF_CUDA_INDEX_U16) {  // the last entry behind the tensor's end
        auto expected = Patched(original, delta);
        expected[delta.where.back()] = original[delta.where.back()];
        reinterpret_cast<uint16_t*>(delta.index.data())[kept - 1] = 100;
        CHECK(Scatter(delta, dense, order) == 1 && dense == expected, "an entry behind the end");
        // Entering and leaving treat it alike.
        const auto values = delta.values;
        for (int turn = 0; turn < 2; turn++) {
          uint64_t refused = 0;
          if (turn == 0) dense = original;
          const tf_cuda_swap_tensor tensor{dense.data(), n, 2, 0, 0, {}, delta.OnHost()};
          RunByHand(cuda::SwapBody<uint16_t>{&tensor, 1, 2, &refused}, 2, order);
          CHECK(refused == 1 && dense == (turn == 0 ? expected : original), "exchange, turn %d", turn);
        }
        CHECK(delta.values == values, "values come back");
      } else {
        auto expected = Patched(original, delta);
        delta.index.back() |= 0xF0;  // elements 100 … 103 of the last block, which has 100
        CHECK(Scatter(delta, dense, order) == 4 && dense == expected, "spare bits");
        delta.index.back() &= 0x0F;
        dense = original;
        // One bit more than entries in the first block: its last one has no value.
        uint64_t free = 0;
        while (delta.index[free / 8] >> (free % 8) & 1) free++;
        delta.index[free / 8] = static_cast<uint8_t>(delta.index[free / 8] | 1 << free % 8);
        CHECK(Scatter(delta, dense, order) == 1, "a bit too many");
        delta.index[free / 8] = static_cast<uint8_t>(delta.index[free / 8] & ~(1 << free % 8));
        delta.index[delta.where[0] / 8] =
            static_cast<uint8_t>(delta.index[delta.where[0] / 8] & ~(1 << delta.where[0] % 8));
        CHECK(Scatter(delta, dense, order) == 1, "a bit too few");
      }
    }
  }
}

void CheckRefusals(const CudaTest& test) {
  const auto memory = test.Allocate<uint64_t>(4);
  const tf_cuda_delta delta{memory.data(), memory.data(), memory.data(), 2, 4, TF_CUDA_INDEX_U16};
  const tf_cuda_scatter_job good{memory.data(), 8, 2, delta, memory.data()};
  const auto refused = [&](auto change) {
    tf_cuda_scatter_job job = good;
    change(job);
    test.Refused(test.cuda.scatter, job);
  };
  refused([](auto& job) { job.item_bytes = 3; });
  refused([](auto& job) { job.elements = 1; });
  refused([](auto& job) { job.elements = 0; });
  refused([](auto& job) { job.dense = nullptr; });
  refused([](auto& job) { job.refused = nullptr; });
  refused([](auto& job) { job.delta.start_bytes = 2; });
  refused([](auto& job) { job.delta.index_code = 2; });
  refused([](auto& job) { job.delta.starts = nullptr; });
  refused([](auto& job) { job.delta.index = nullptr; });
  refused([](auto& job) { job.delta.values = nullptr; });
  test.Call(test.cuda.scatter, tf_cuda_scatter_job{nullptr, 0, 2, {}, nullptr});
  test.Call(test.cuda.swap, tf_cuda_swap_job{nullptr, 0, 0, nullptr});
  test.Refused(test.cuda.swap, tf_cuda_swap_job{nullptr, 1, 1, memory.data()});
  test.Refused(test.cuda.swap, tf_cuda_swap_job{nullptr, 0, 1, memory.data()});
}

}  // namespace

int main() {
  const CudaTest test;
  Random random(41);
  CheckLies(random);
  CheckHostile<uint8_t>(random);
  CheckHostile<uint16_t>(random);
  CheckHostile<uint32_t>(random);
  CheckHostile<uint64_t>(random);
  CheckScatter<uint8_t>(test, random);
  CheckScatter<uint16_t>(test, random);
  CheckScatter<uint32_t>(test, random);
  CheckScatter<uint64_t>(test, random);
  for (int order = 0; order < CudaTest::kOrders; order++) {
    for (const double density : {0.0, 0.05, 1.0}) CheckSwap(test, density, order, random);
  }
  CheckRefusals(test);
  std::printf("cuda_delta: passed\n");
  return 0;
}
