// Conversion between all pairs of dtypes: the emulated kernel against the CPU backend and a plain loop.
#include <cmath>
#include <cstring>

#include "backend/registry.h"
#include "core/float_convert.h"
#include "cuda_kernel_test.h"

using namespace taskfold;

namespace {

constexpr size_t kLengths[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 4095, 4096, 65539};

template <Dtype kDtype>
using RawOf = typename Storage<kDtype>::Raw;

/// Every bit pattern of a narrow dtype; of f32 those where the narrow dtypes round, overflow or underflow.
template <Dtype kFrom, Dtype kTo>
std::vector<RawOf<kFrom>> HardItems(Random& random) {
  std::vector<RawOf<kFrom>> items;
  if constexpr (kFrom == Dtype::kF32) {
    for (const uint32_t bits : {0u, 1u, 0x7FFFFFu, 0x800000u, 0x7F7FFFFFu, 0x7F800000u, 0x7F800001u,
                                0x7FC00000u, 0x7FFFFFFFu, 0x477FEFFFu, 0x477FF000u, 0x476FFFFFu, 0x47700000u,
                                0x43E80000u, 0x43E80001u, 0x7F7F7FFFu, 0x7F7F8000u}) {
      items.push_back(bits);
      items.push_back(bits | 0x80000000u);
    }
    // Values of the other dtype, those half-way between two of them, and their neighbours.
    for (uint32_t i = 0; i < 20000; i++) {
      const auto raw = static_cast<RawOf<kTo>>(sizeof(RawOf<kTo>) == 1 ? i : random.Next() >> 7);
      const auto next = static_cast<RawOf<kTo>>(raw + 1);
      const float here = Storage<kTo>::Widen(raw), there = Storage<kTo>::Widen(next);
      const uint32_t half =
          FloatBits(static_cast<float>((static_cast<double>(here) + static_cast<double>(there)) / 2));
      for (const uint32_t bits : {FloatBits(here), half, half - 1, half + 1}) items.push_back(bits);
    }
  } else {
    for (uint32_t i = 0; i < 1u << (8 * sizeof(RawOf<kFrom>)); i++)
      items.push_back(static_cast<RawOf<kFrom>>(i));
  }
  return items;
}

template <Dtype kFrom, Dtype kTo>
void CheckItems(const CudaTest& test, const std::vector<RawOf<kFrom>>& items, bool counted) {
  const size_t n = items.size();
  std::vector<RawOf<kTo>> expected(n), table(n);
  uint64_t changed = 0;
  for (size_t i = 0; i < n; i++) {
    const float wide = Storage<kFrom>::Widen(items[i]);
    expected[i] = Storage<kTo>::Round(wide);
    const float back = Storage<kTo>::Widen(expected[i]);
    changed += !(back == wide || (std::isnan(back) && std::isnan(wide)));
  }
  std::vector<float> wide(n);
  ActiveBackend().widen(static_cast<int32_t>(kFrom), n, items.data(), wide.data());
  ActiveBackend().narrow(static_cast<int32_t>(kTo), n, wide.data(), table.data());
  CHECK(table == expected, "the CPU backend, %s to %s", DtypeName(kFrom), DtypeName(kTo));

  const auto from = test.Upload(items);
  for (int order = 0; order < CudaTest::kOrders; order++) {
    CudaTest::Order(order);
    const auto to = test.Allocate<RawOf<kTo>>(n);
    const auto inexact = test.Upload(std::vector<uint64_t>{5});
    test.Call(test.cuda.convert,
              tf_cuda_convert_job{static_cast<int32_t>(kFrom), static_cast<int32_t>(kTo), n, from.data(),
                                  to.data(), counted ? inexact.data() : nullptr});
    CHECK(test.Download(to) == expected, "%s to %s, %zu elements, order %d", DtypeName(kFrom), DtypeName(kTo),
          n, order);
    const uint64_t count = test.Download(inexact)[0];
    CHECK(count == 5 + (counted ? changed : 0),
          "%s to %s, %zu elements, order %d: %llu changed, expected %llu", DtypeName(kFrom), DtypeName(kTo),
          n, order, static_cast<unsigned long long>(count - 5), static_cast<unsigned long long>(changed));
  }
}

template <Dtype kFrom, Dtype kTo>
void CheckPair(const CudaTest& test, Random& random) {
  for (const size_t n : kLengths) {
    std::vector<RawOf<kFrom>> items(n);
    for (auto& item : items) item = static_cast<RawOf<kFrom>>(random.Next() >> 11);
    CheckItems<kFrom, kTo>(test, items, n % 3 != 1);
  }
  CheckItems<kFrom, kTo>(test, HardItems<kFrom, kTo>(random), true);
}

void CheckRefusals(const CudaTest& test) {
  const auto from = test.Upload(std::vector<float>(32, 1));
  const auto to = test.Allocate<uint16_t>(32);
  const auto refused = [&](int32_t from_dtype, int32_t to_dtype, const void* source, void* target) {
    test.Refused(test.cuda.convert, tf_cuda_convert_job{from_dtype, to_dtype, 16, source, target, nullptr});
  };
  refused(-1, 1, from.data(), to.data());
  refused(0, 5, from.data(), to.data());
  refused(0, 1, nullptr, to.data());
  refused(0, 1, from.data(), nullptr);
  refused(0, 1, from.data() + 1, to.data());
  refused(0, 1, from.data(), to.data() + 1);
  test.Call(test.cuda.convert, tf_cuda_convert_job{0, 1, 0, nullptr, nullptr, nullptr});
  test.Wait();
}

}  // namespace

int main() {
  const CudaTest test;
  CheckRefusals(test);
  Random random(11);
  for (int from = 0; from < kDtypeCount; from++) {
    for (int to = 0; to < kDtypeCount; to++) {
      VisitDtype(static_cast<Dtype>(from), [&]<Dtype kFrom>() {
        VisitDtype(static_cast<Dtype>(to), [&]<Dtype kTo>() { CheckPair<kFrom, kTo>(test, random); });
      });
    }
  }
  std::puts("ok");
}
