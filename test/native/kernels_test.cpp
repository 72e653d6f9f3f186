// Every SIMD target of this machine against the scalar meaning in core/, over random bit patterns: all
// dtypes, NaN, infinities, subnormals and odd lengths included.
#include <cmath>
#include <cstring>
#include <vector>

#include "backend/registry.h"
#include "check.h"
#include "core/float_convert.h"
#include "core/magnitude_key.h"

using namespace taskfold;

namespace {

constexpr size_t kLengths[] = {0, 1, 3, 15, 16, 17, 63, 64, 65, 127, 1000, 4096, 65535, 65536};

template <Dtype kDtype>
std::vector<typename Storage<kDtype>::Raw> RandomItems(size_t n, Random& random) {
  std::vector<typename Storage<kDtype>::Raw> items(n);
  for (auto& item : items) {
    item = static_cast<typename Storage<kDtype>::Raw>(random.Next() >> 11);
    // Half of them near 1, where rounding and ties happen; the others any bits.
    if (random.Below(2)) item = Storage<kDtype>::Round(static_cast<float>(random.Below(1000)) / 512.0f);
  }
  return items;
}

template <Dtype kDtype>
void CheckConversions(const TfBackend& backend, Random& random) {
  using Raw = typename Storage<kDtype>::Raw;
  for (const size_t n : kLengths) {
    const auto items = RandomItems<kDtype>(n, random);
    std::vector<float> wide(n);
    backend.widen(static_cast<int32_t>(kDtype), n, items.data(), wide.data());
    for (size_t i = 0; i < n; i++) {
      const float expected = Storage<kDtype>::Widen(items[i]);
      // f32 and bf16 are widened bit by bit; a NaN keeps its payload there and is made canonical when stored.
      CHECK(FloatBits(wide[i]) == FloatBits(expected) || (std::isnan(wide[i]) && std::isnan(expected)),
            "%s widen %s [%zu of %zu] %08x: %08x, expected %08x", backend.name, DtypeName(kDtype), i, n,
            static_cast<unsigned>(items[i]), FloatBits(wide[i]), FloatBits(expected));
    }
    std::vector<float> any(n);
    for (float& x : any) x = BitsFloat(static_cast<uint32_t>(random.Next() >> 9));
    std::vector<Raw> narrow(n);
    backend.narrow(static_cast<int32_t>(kDtype), n, any.data(), narrow.data());
    for (size_t i = 0; i < n; i++) {
      CHECK(narrow[i] == Storage<kDtype>::Round(any[i]), "%s narrow %s of %08x: %x, expected %x",
            backend.name, DtypeName(kDtype), FloatBits(any[i]), static_cast<unsigned>(narrow[i]),
            static_cast<unsigned>(Storage<kDtype>::Round(any[i])));
    }
  }
}

template <Dtype kDtype>
void CheckDifference(const TfBackend& backend, Random& random) {
  for (const size_t n : kLengths) {
    auto task = RandomItems<kDtype>(n, random), minus = RandomItems<kDtype>(n, random);
    const bool has_minus = random.Below(4) != 0;
    if (random.Below(2)) {  // finite numbers only
      for (auto& item : task) item = Storage<kDtype>::Round(static_cast<float>(random.Below(1000)) / 512.0f);
      for (auto& item : minus) item = Storage<kDtype>::Round(static_cast<float>(random.Below(1000)) / 512.0f);
    }
    std::vector<float> out(n);
    const int32_t finite = backend.difference(static_cast<int32_t>(kDtype), n, task.data(),
                                              has_minus ? minus.data() : nullptr, out.data());
    bool expected_finite = true;
    for (size_t i = 0; i < n; i++) {
      float expected = Storage<kDtype>::Widen(task[i]);
      if (has_minus) expected = expected - Storage<kDtype>::Widen(minus[i]);
      expected_finite &= std::isfinite(expected);
      CHECK(FloatBits(out[i]) == FloatBits(expected) || (std::isnan(out[i]) && std::isnan(expected)),
            "%s difference %s [%zu of %zu]: %08x, expected %08x", backend.name, DtypeName(kDtype), i, n,
            FloatBits(out[i]), FloatBits(expected));
    }
    CHECK((finite != 0) == expected_finite, "%s difference %s of %zu: finite %d", backend.name,
          DtypeName(kDtype), n, finite);
  }
}

template <Dtype kDtype>
void CheckMerge(const TfBackend& backend, Random& random) {
  using Raw = typename Storage<kDtype>::Raw;
  for (const size_t n : kLengths) {
    const size_t task_count = random.Below(5);
    const auto base = RandomItems<kDtype>(n, random);
    std::vector<std::vector<Raw>> tasks;
    std::vector<const void*> pointers;
    for (size_t t = 0; t < task_count; t++) tasks.push_back(RandomItems<kDtype>(n, random));
    for (const auto& task : tasks) pointers.push_back(task.data());
    std::vector<Raw> out(n);
    const float lambda = 0.3f;
    backend.merge(static_cast<int32_t>(kDtype), n, base.data(), pointers.data(), task_count, lambda,
                  out.data());
    for (size_t i = 0; i < n; i++) {
      const float b = Storage<kDtype>::Widen(base[i]);
      float sum = 0;
      for (const auto& task : tasks) sum += Storage<kDtype>::Widen(task[i]) - b;
      const Raw expected = Storage<kDtype>::Round(std::fma(lambda, sum, b));
      CHECK(out[i] == expected, "%s merge %s [%zu of %zu]: %x, expected %x", backend.name, DtypeName(kDtype),
            i, n, static_cast<unsigned>(out[i]), static_cast<unsigned>(expected));
    }
  }
}

template <Dtype kDtype>
void CheckSelect(const TfBackend& backend, Random& random) {
  using Raw = typename Storage<kDtype>::Raw;
  for (const size_t n : kLengths) {
    const auto merged = RandomItems<kDtype>(n, random);
    const auto task = RandomItems<kDtype>(n, random);
    const bool has_merged = random.Below(4) != 0;
    std::vector<uint32_t> keys(n);
    bool has_nan = false;
    for (size_t i = 0; i < n; i++) {
      const float u = Storage<kDtype>::Widen(task[i]) - (has_merged ? Storage<kDtype>::Widen(merged[i]) : 0);
      keys[i] = MagnitudeKey(u);
      has_nan |= std::isnan(u);
    }
    const uint32_t threshold = n == 0 ? 1 : keys[random.Below(static_cast<unsigned>(n))];
    const TfWindow window{threshold / 2, threshold + 1};
    std::vector<uint32_t> inside(n + 1);
    TfTally tally{};
    tally.keys = inside.data();
    const void* shared = has_merged ? merged.data() : nullptr;
    backend.tally(static_cast<int32_t>(kDtype), n, shared, task.data(), window, &tally);
    std::vector<uint64_t> bits(n / 64 + 1);
    TfMarks marks{};
    backend.mark(static_cast<int32_t>(kDtype), n, shared, task.data(), threshold, bits.data(), &marks);
    uint64_t above = 0;
    uint32_t next = 0, at_least = 0, equal = 0;
    std::vector<Raw> kept;
    for (size_t i = 0; i < n; i++) {
      if (keys[i] >= window.end) above++;
      if (keys[i] >= window.low && keys[i] < window.end) {
        CHECK(next < tally.inside && inside[next] == keys[i], "%s tally %s: key %u", backend.name,
              DtypeName(kDtype), next);
        next++;
      }
      const bool marked = bits[i / 64] >> (i % 64) & 1;
      CHECK(marked == (keys[i] >= threshold), "%s mark %s [%zu of %zu]", backend.name, DtypeName(kDtype), i,
            n);
      if (marked) kept.push_back(task[i]);
      at_least += keys[i] >= threshold;
      equal += keys[i] == threshold;
    }
    CHECK(tally.above == above && tally.inside == next, "%s tally %s", backend.name, DtypeName(kDtype));
    CHECK(marks.at_least == at_least && marks.equal == equal, "%s mark %s", backend.name, DtypeName(kDtype));
    CHECK((tally.has_nan != 0) == has_nan && (marks.has_nan != 0) == has_nan, "%s NaN flag", backend.name);
    std::vector<Raw> gathered(n + 1);
    CHECK(backend.gather(sizeof(Raw), n, bits.data(), task.data(), gathered.data()) == kept.size(), "gather");
    CHECK(std::equal(kept.begin(), kept.end(), gathered.begin()), "gathered values");
    std::vector<uint16_t> positions(n + 1);
    CHECK(backend.positions(n, bits.data(), positions.data()) == kept.size(), "positions");
    std::vector<Raw> by_position(merged), by_bitmap(merged);
    CHECK(backend.scatter_u16(sizeof(Raw), n, by_position.data(), positions.data(), kept.data(), kept.size()),
          "scatter");
    backend.scatter_bitmap(sizeof(Raw), n, by_bitmap.data(), bits.data(), kept.data());
    for (size_t i = 0; i < n; i++) {
      const Raw expected = (bits[i / 64] >> (i % 64) & 1) ? task[i] : merged[i];
      CHECK(by_position[i] == expected && by_bitmap[i] == expected, "scattered item %zu", i);
    }
  }
}

template <Dtype kDtype>
void CheckDtype(const TfBackend& backend) {
  for (unsigned seed = 1; seed <= 6; seed++) {
    Random random(seed);
    CheckConversions<kDtype>(backend, random);
    CheckDifference<kDtype>(backend, random);
    CheckMerge<kDtype>(backend, random);
    CheckSelect<kDtype>(backend, random);
  }
}

void CheckRefusals(const TfBackend& backend) {
  uint16_t dst[4] = {0}, values[2] = {1, 2};
  const uint16_t twice[2] = {1, 1}, falling[2] = {2, 1}, outside[2] = {1, 4};
  CHECK(!backend.scatter_u16(2, 4, dst, twice, values, 2), "a position twice");
  CHECK(!backend.scatter_u16(2, 4, dst, falling, values, 2), "falling positions");
  CHECK(!backend.scatter_u16(2, 4, dst, outside, values, 2), "a position outside");
}

/// Narrow formats have few values: widen all, round each and its neighbours' midpoints.
template <Dtype kDtype>
void CheckRoundTrip() {
  using Raw = typename Storage<kDtype>::Raw;
  for (uint32_t raw = 0; raw < 1u << (8 * sizeof(Raw)); raw++) {
    const float value = Storage<kDtype>::Widen(static_cast<Raw>(raw));
    if (std::isnan(value)) continue;
    CHECK(Storage<kDtype>::Round(value) == raw, "%s %x comes back as %x", DtypeName(kDtype), raw,
          static_cast<unsigned>(Storage<kDtype>::Round(value)));
    if ((raw & (sizeof(Raw) == 1 ? 0x7Fu : 0x7FFFu)) == 0) continue;
    const float below = Storage<kDtype>::Widen(static_cast<Raw>(raw - 1));
    if (std::isinf(value)) continue;
    // f32 holds the midpoint of two neighbours exactly: it goes to the even one.
    const Raw middle = Storage<kDtype>::Round(static_cast<float>((static_cast<double>(value) + below) / 2));
    const auto even = static_cast<Raw>(raw % 2 == 0 ? raw : raw - 1);
    CHECK(middle == even, "%s midpoint below %x went to %x", DtypeName(kDtype), raw,
          static_cast<unsigned>(middle));
  }
}

}  // namespace

int main() {
  CheckRoundTrip<Dtype::kF16>();
  CheckRoundTrip<Dtype::kBF16>();
  CheckRoundTrip<Dtype::kF8E4M3>();
  CheckRoundTrip<Dtype::kF8E5M2>();
  for (const std::string& name : SimdTargetNames()) {
    CHECK(ForceSimdTarget(name), "%s", name.c_str());
    const TfBackend& backend = ActiveBackend();
    CheckDtype<Dtype::kF32>(backend);
    CheckDtype<Dtype::kF16>(backend);
    CheckDtype<Dtype::kBF16>(backend);
    CheckDtype<Dtype::kF8E4M3>(backend);
    CheckDtype<Dtype::kF8E5M2>(backend);
    CheckRefusals(backend);
    std::printf("%s: same bits as the scalar code\n", name.c_str());
  }
}
