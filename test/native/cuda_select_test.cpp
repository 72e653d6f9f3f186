// Exact selection of the CUDA plug-in (emulated): rank, place, emit against obvious loops and the CPU
// backend, bit for bit, in every order of threads.
#include <algorithm>
#include <cmath>

#include "backend/registry.h"
#include "core/block_scatter.h"
#include "core/float_convert.h"
#include "core/magnitude_key.h"
#include "cuda_kernel_test.h"
#include "magnitude_select.h"

using namespace taskfold;

namespace {

constexpr uint64_t kLengths[] = {0, 1, 63, 64, 65, 65535, 65536, 65537, 200003};
constexpr double kDensities[] = {0, 0.001, 0.05, 0.5, 1};
enum class Content { kRandom, kEqual, kAnyBits };

template <Dtype kDtype>
struct Input {
  using Raw = typename Storage<kDtype>::Raw;
  std::vector<Raw> merged, task;
  bool has_merged;
  std::vector<uint32_t> keys;
  uint32_t threshold;
  uint64_t ties;

  Input(uint64_t n, double density, Content content, Random& random) : merged(n), task(n) {
    const auto item = [&] {
      if (content == Content::kAnyBits && random.Below(2)) return static_cast<Raw>(random.Next() >> 11);
      return Storage<kDtype>::Round((static_cast<float>(random.Below(1000)) - 500.0f) / 512.0f);
    };
    const Raw one = item(), other = item();
    for (Raw& x : merged) x = content == Content::kEqual ? one : item();
    for (Raw& x : task) x = content == Content::kEqual ? other : item();
    has_merged = random.Below(4) != 0;
    for (uint64_t i = 0; i < n; i++) {
      const float u = Storage<kDtype>::Widen(task[i]);
      keys.push_back(MagnitudeKey(has_merged ? u - Storage<kDtype>::Widen(merged[i]) : u));
    }
    SetThreshold(static_cast<uint64_t>(std::floor(density * static_cast<double>(n) + 0.5)), random);
  }

  void SetThreshold(uint64_t k, Random& random) {
    threshold = kKeepNothing;
    ties = random.Below(3);
    if (k == 0) return;
    std::vector<uint32_t> sorted = keys;
    std::nth_element(sorted.begin(), sorted.begin() + static_cast<int64_t>(k - 1), sorted.end(),
                     std::greater<>());
    threshold = sorted[k - 1];
    const auto above = std::count_if(keys.begin(), keys.end(), [&](uint32_t key) { return key > threshold; });
    const auto equal = std::count(keys.begin(), keys.end(), threshold);
    ties = k - static_cast<uint64_t>(above);
    // Of a selection over several tensors any number may be left.
    if (random.Below(3) == 0) ties = random.Below(static_cast<unsigned>(equal) + 5);
  }
};

/// All that the three steps give.
template <class Raw>
struct Result {
  std::vector<uint32_t> above, equal, keep_equal;
  std::vector<uint64_t> starts, bits;
  std::vector<Raw> values;
  std::vector<uint16_t> positions;
  uint64_t ties = 0;
  bool has_nan = false;
};

template <Dtype kDtype>
Result<typename Storage<kDtype>::Raw> Naive(const Input<kDtype>& in) {
  const uint64_t n = in.task.size(), blocks = BlockCount(n);
  Result<typename Storage<kDtype>::Raw> out;
  out.bits.assign(blocks * kBlockElements / 64, 0);
  out.starts = {0};
  out.ties = in.ties;
  for (uint64_t b = 0; b < blocks; b++) {
    uint32_t above = 0, equal = 0, kept_equal = 0;
    for (uint64_t i = b * kBlockElements; i < std::min(n, (b + 1) * kBlockElements); i++) {
      const uint32_t key = in.keys[i];
      out.has_nan |= key == kNaNKey;
      above += key > in.threshold;
      equal += key == in.threshold;
      const bool tie = key == in.threshold && out.ties > 0;
      out.ties -= tie;
      kept_equal += tie;
      if (!(key > in.threshold || tie)) continue;
      out.values.push_back(in.task[i]);
      out.positions.push_back(static_cast<uint16_t>(i % kBlockElements));
      out.bits[i / 64] |= uint64_t{1} << (i % 64);
    }
    out.above.push_back(above);
    out.equal.push_back(equal);
    out.keep_equal.push_back(kept_equal);
    out.starts.push_back(out.values.size());
  }
  return out;
}

/// The same with the CPU backend's entries, as ops/emit_delta uses them.
template <Dtype kDtype>
void CheckBackend(const Input<kDtype>& in, const Result<typename Storage<kDtype>::Raw>& expected) {
  using Raw = typename Storage<kDtype>::Raw;
  const TfBackend& backend = ActiveBackend();
  if (in.threshold == kKeepNothing) return;  // never asked of it
  for (uint64_t b = 0; b < expected.above.size(); b++) {
    const size_t n = ElementsOfBlock(in.task.size(), b), first = b * kBlockElements;
    std::vector<uint64_t> bits(kBlockElements / 64, 0);
    TfMarks marks;
    backend.mark(static_cast<int32_t>(kDtype), n, in.has_merged ? in.merged.data() + first : nullptr,
                 in.task.data() + first, in.threshold, bits.data(), &marks);
    CHECK(marks.at_least - marks.equal == expected.above[b] && marks.equal == expected.equal[b], "counts");
    const uint64_t* kept = expected.bits.data() + first / 64;
    if (expected.keep_equal[b] == marks.equal) CHECK(std::equal(bits.begin(), bits.end(), kept), "marks");
    std::vector<Raw> values(n);
    std::vector<uint16_t> positions(n);
    const uint64_t begin = expected.starts[b], count = expected.starts[b + 1] - begin;
    CHECK(backend.gather(sizeof(Raw), n, kept, in.task.data() + first, values.data()) == count, "gather");
    CHECK(backend.positions(n, kept, positions.data()) == count, "positions");
    CHECK(std::equal(values.begin(), values.begin() + static_cast<int64_t>(count),
                     expected.values.begin() + static_cast<int64_t>(begin)),
          "gathered values");
    CHECK(std::equal(positions.begin(), positions.begin() + static_cast<int64_t>(count),
                     expected.positions.begin() + static_cast<int64_t>(begin)),
          "gathered positions");
  }
}

/// outputs: 1 values, 2 positions, 4 bits.
template <Dtype kDtype>
Result<typename Storage<kDtype>::Raw> OnDevice(const CudaTest& test, const Input<kDtype>& in, uint64_t kept,
                                               unsigned outputs) {
  using Raw = typename Storage<kDtype>::Raw;
  const uint64_t n = in.task.size(), blocks = BlockCount(n);
  const auto task = test.Upload(in.task), merged = test.Upload(in.merged);
  const auto above = test.Allocate<uint32_t>(blocks), equal = test.Allocate<uint32_t>(blocks),
             keep = test.Allocate<uint32_t>(blocks);
  const auto starts = test.Allocate<uint64_t>(blocks + 1);
  const auto ties = test.Upload(std::vector<uint64_t>{in.ties});
  const auto tally = test.Upload(std::vector<tf_cuda_tally>{{7, 0}});
  const auto values = test.Allocate<Raw>(kept);
  const auto positions = test.Allocate<uint16_t>(kept);
  const auto bits = test.Allocate<uint64_t>(blocks * kBlockElements / 64);
  const void* minus = in.has_merged ? merged.data() : nullptr;
  const auto dtype = static_cast<int32_t>(kDtype);
  test.Call(test.cuda.rank, tf_cuda_rank_job{dtype, in.threshold, n, minus, task.data(), above.data(),
                                             equal.data(), tally.data()});
  test.Call(test.cuda.place,
            tf_cuda_place_job{blocks, above.data(), equal.data(), ties.data(), keep.data(), starts.data()});
  test.Call(test.cuda.emit,
            tf_cuda_emit_job{dtype, in.threshold, n, minus, task.data(), keep.data(), starts.data(),
                             outputs & 1 ? values.data() : nullptr, outputs & 2 ? positions.data() : nullptr,
                             outputs & 4 ? bits.data() : nullptr});
  Result<Raw> out;
  out.above = test.Download(above);
  out.equal = test.Download(equal);
  out.keep_equal = test.Download(keep);
  out.starts = test.Download(starts);
  out.ties = test.Download(ties)[0];
  out.values = test.Download(values);
  out.positions = test.Download(positions);
  out.bits = test.Download(bits);
  const tf_cuda_tally counted = test.Download(tally)[0];
  CHECK(counted.above == 7, "rank changed tally->above");
  out.has_nan = counted.has_nan != 0;
  return out;
}

template <Dtype kDtype>
void CheckSelect(const CudaTest& test, Random& random) {
  for (const uint64_t n : kLengths) {
    for (const double density : kDensities) {
      for (const Content content : {Content::kRandom, Content::kEqual, Content::kAnyBits}) {
        const Input<kDtype> in(n, density, content, random);
        const auto expected = Naive(in);
        CheckBackend(in, expected);
        const int order = static_cast<int>(random.Below(CudaTest::kOrders));
        const unsigned outputs = random.Below(2) ? 7 : random.Below(8);
        CudaTest::Order(order);
        const auto found = OnDevice(test, in, expected.values.size(), outputs);
#define SAME(what)                                                                                         \
  CHECK(found.what == expected.what,                                                                       \
        "%s: %s of %llu elements, density %g, content %d, order %d, outputs %u", #what, DtypeName(kDtype), \
        static_cast<unsigned long long>(n), density, static_cast<int>(content), order, outputs)
        SAME(above);
        SAME(equal);
        SAME(keep_equal);
        SAME(starts);
        SAME(ties);
        SAME(has_nan);
        if (outputs & 1) SAME(values);
        if (outputs & 2) SAME(positions);
        if (outputs & 4) SAME(bits);
#undef SAME
      }
    }
  }
}

/// Values that changed after they were ranked: nothing may be written behind a block's entries.
void CheckChangedValues(const CudaTest& test, Random& random) {
  const uint64_t n = 200003, blocks = BlockCount(n);
  std::vector<uint16_t> task(n);
  for (auto& x : task) x = static_cast<uint16_t>(random.Next());
  const auto on_device = test.Upload(task);
  for (int order = 0; order < CudaTest::kOrders; order++) {
    CudaTest::Order(order);
    for (const std::vector<uint64_t>& starts :
         std::vector<std::vector<uint64_t>>{{0, 10, 10, 5000, 5003},
                                            {0, 900, 20, 1, 100},
                                            {~uint64_t{0}, 3, ~uint64_t{0}, 8, 50},
                                            {9, 9, 9, 9, 0}}) {
      const uint64_t room = starts[blocks];
      const auto values = test.Allocate<uint16_t>(room), positions = test.Allocate<uint16_t>(room);
      const auto bits = test.Allocate<uint64_t>(blocks * kBlockElements / 64);
      const auto keep = test.Upload(std::vector<uint32_t>(blocks, ~uint32_t{0}));
      const auto from = test.Upload(starts);
      test.Call(test.cuda.emit, tf_cuda_emit_job{1, 0, n, nullptr, on_device.data(), keep.data(), from.data(),
                                                 values.data(), positions.data(), bits.data()});
      test.Download(positions);
      const auto found = test.Download(values);
      const auto marked = test.Download(bits);
      for (uint64_t b = 0; b < blocks; b++) {
        const uint64_t begin = std::min(starts[b], room), end = std::min(starts[b + 1], room);
        uint64_t count = 0;
        for (uint64_t w = 0; w < kBlockElements / 64; w++) {
          count += static_cast<uint64_t>(__builtin_popcountll(marked[b * kBlockElements / 64 + w]));
        }
        CHECK(count == (begin < end ? std::min<uint64_t>(end - begin, ElementsOfBlock(n, b)) : 0),
              "bits of block %d", static_cast<int>(b));
        if (starts[0] != 0 || !std::is_sorted(starts.begin(), starts.end())) continue;
        for (uint64_t i = begin; i < end; i++) {
          CHECK(found[i] == task[b * kBlockElements + i - begin], "value %d", static_cast<int>(i));
        }
      }
    }
  }
}

/// Arrays of exact length on the heap, so that the address sanitizer sees every read behind them.
template <Dtype kDtype>
void CheckReads(Random& random) {
  using Raw = typename Storage<kDtype>::Raw;
  for (const uint64_t n : {1, 7, 8, 15, 17, 31, 33, 65537}) {
    const Input<kDtype> in(n, 0.5, Content::kRandom, random);
    const auto expected = Naive(in);
    const uint64_t blocks = BlockCount(n);
    std::vector<uint32_t> above(blocks), equal(blocks);
    std::vector<Raw> values(expected.values.size());
    std::vector<uint16_t> positions(values.size());
    std::vector<uint64_t> bits(blocks * kBlockElements / 64);
    const cuda::RankedTensor<kDtype> tensor{in.has_merged ? in.merged.data() : nullptr, in.task.data(), n,
                                            in.threshold};
    using Rank = cuda::RankBody<kDtype>;
    using Emit = cuda::EmitBody<kDtype>;
    const Rank rank{tensor, above.data(), equal.data(), nullptr};
    const Emit emit{
        tensor,        expected.keep_equal.data(), expected.starts.data(),
        values.data(), positions.data(),           reinterpret_cast<typename Emit::Piece*>(bits.data())};
    alignas(16) static unsigned char shared[48 * 1024];
    cuda::HostBlock<Rank::kThreads> rank_block(0, 1, shared, cuda::ThreadOrder::kBackward);
    rank(rank_block);
    cuda::HostBlock<Emit::kThreads> emit_block(0, 1, shared, cuda::ThreadOrder::kBackward);
    emit(emit_block);
    CHECK(above == expected.above && equal == expected.equal, "counts of %d", static_cast<int>(n));
    CHECK(values == expected.values && positions == expected.positions && bits == expected.bits,
          "entries of %d", static_cast<int>(n));
  }
}

void CheckRefusals(const CudaTest& test) {
  const auto task = test.Upload(std::vector<uint32_t>(8, 1));
  const auto counts = test.Allocate<uint32_t>(1);
  const auto starts = test.Allocate<uint64_t>(2);
  const tf_cuda_rank_job rank{0, 1, 8, nullptr, task.data(), counts.data(), counts.data(), nullptr};
  auto bad_rank = rank;
  bad_rank.dtype = 5;
  test.Refused(test.cuda.rank, bad_rank);
  bad_rank = rank;
  bad_rank.task = nullptr;
  test.Refused(test.cuda.rank, bad_rank);
  bad_rank = rank;
  bad_rank.task = task.data() + 1;
  test.Refused(test.cuda.rank, bad_rank);
  bad_rank = rank;
  bad_rank.equal = nullptr;
  test.Refused(test.cuda.rank, bad_rank);
  test.Refused(test.cuda.place,
               tf_cuda_place_job{1, counts.data(), nullptr, starts.data(), counts.data(), starts.data()});
  test.Refused(test.cuda.place, tf_cuda_place_job{0, nullptr, nullptr, nullptr, nullptr, starts.data()});
  test.Refused(test.cuda.emit, tf_cuda_emit_job{0, 1, 8, nullptr, task.data(), nullptr, starts.data(),
                                                nullptr, nullptr, nullptr});
}

}  // namespace

int main() {
  const CudaTest test;
  Random random(23);
  for (int dtype = 0; dtype < kDtypeCount; dtype++) {
    VisitDtype(static_cast<Dtype>(dtype), [&]<Dtype kDtype>() {
      CheckReads<kDtype>(random);
      CheckSelect<kDtype>(test, random);
    });
  }
  CheckChangedValues(test, random);
  CheckRefusals(test);
  std::printf("cuda_select: passed\n");
  return 0;
}
