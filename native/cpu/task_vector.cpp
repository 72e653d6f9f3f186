// Merge of one piece: θ* = round(fma(λ, Σt(θt − θ0), θ0)). design.md section 1.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/task_vector.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "cpu/simd_dtype-inl.h"
#include "cpu/simd_table.h"

HWY_BEFORE_NAMESPACE();
namespace taskfold {
namespace HWY_NAMESPACE {

template <Dtype kDtype>
void MergePiece(size_t n, const void* base_bytes, const void* const* task_bytes, size_t task_count,
                float lambda, void* out_bytes) {
  using Raw = typename Storage<kDtype>::Raw;
  using L = Lanes<kDtype>;
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const auto* base = static_cast<const Raw*>(base_bytes);
  auto* out = static_cast<Raw*>(out_bytes);
  const auto scale = hn::Set(d, lambda);
  // Four vectors at a time: their sums are independent, which hides the latency of the additions.
  constexpr size_t kUnroll = 4;
  size_t i = 0;
  for (; i + kUnroll * lanes <= n; i += kUnroll * lanes) {
    const VF b0 = L::Load(base + i), b1 = L::Load(base + i + lanes);
    const VF b2 = L::Load(base + i + 2 * lanes), b3 = L::Load(base + i + 3 * lanes);
    VF s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
    for (size_t t = 0; t < task_count; t++) {
      const Raw* task = static_cast<const Raw*>(task_bytes[t]) + i;
      s0 = hn::Add(s0, hn::Sub(L::Load(task), b0));
      s1 = hn::Add(s1, hn::Sub(L::Load(task + lanes), b1));
      s2 = hn::Add(s2, hn::Sub(L::Load(task + 2 * lanes), b2));
      s3 = hn::Add(s3, hn::Sub(L::Load(task + 3 * lanes), b3));
    }
    L::StoreRounded(ExactMulAdd(scale, s0, b0), out + i);
    L::StoreRounded(ExactMulAdd(scale, s1, b1), out + i + lanes);
    L::StoreRounded(ExactMulAdd(scale, s2, b2), out + i + 2 * lanes);
    L::StoreRounded(ExactMulAdd(scale, s3, b3), out + i + 3 * lanes);
  }
  for (; i < n; i++) {
    const float b = Storage<kDtype>::Widen(base[i]);
    float sum = 0;
    for (size_t t = 0; t < task_count; t++) {
      sum = sum + (Storage<kDtype>::Widen(static_cast<const Raw*>(task_bytes[t])[i]) - b);
    }
    out[i] = Storage<kDtype>::Round(std::fma(lambda, sum, b));
  }
}

void Merge(int32_t dtype, size_t n, const void* base, const void* const* tasks, size_t task_count,
           float lambda, void* out) {
  VisitDtype(static_cast<Dtype>(dtype),
             [&]<Dtype kDtype>() { MergePiece<kDtype>(n, base, tasks, task_count, lambda, out); });
}

template <Dtype kDtype>
void WidenPiece(size_t n, const void* bytes, float* out) {
  using Raw = typename Storage<kDtype>::Raw;
  const DF d;
  const auto* src = static_cast<const Raw*>(bytes);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) hn::StoreU(Lanes<kDtype>::Load(src + i), d, out + i);
  for (; i < n; i++) out[i] = Storage<kDtype>::Widen(src[i]);
}

void Widen(int32_t dtype, size_t n, const void* src, float* out) {
  VisitDtype(static_cast<Dtype>(dtype), [&]<Dtype kDtype>() { WidenPiece<kDtype>(n, src, out); });
}

template <Dtype kDtype, bool kMinus>
bool DifferencePiece(size_t n, const void* task_bytes, const void* minus_bytes, float* out) {
  using Raw = typename Storage<kDtype>::Raw;
  const DF d;
  const DU du;
  const auto* task = static_cast<const Raw*>(task_bytes);
  const auto* minus = static_cast<const Raw*>(minus_bytes);
  // Adding one to an exponent of all ones carries into the sign's place: a test of all lanes at the end.
  const VU exponent = hn::Set(du, 0x7F800000u), one = hn::Set(du, 0x00800000u);
  VU carried = hn::Zero(du);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d)) {
    VF u = Lanes<kDtype>::Load(task + i);
    if constexpr (kMinus) u = hn::Sub(u, Lanes<kDtype>::Load(minus + i));
    hn::StoreU(u, d, out + i);
    carried = hn::Or(carried, hn::Add(hn::And(hn::BitCast(du, u), exponent), one));
  }
  HWY_ALIGN uint32_t lanes[HWY_MAX_BYTES / 4];
  hn::Store(carried, du, lanes);
  uint32_t any = 0;
  for (size_t lane = 0; lane < hn::Lanes(d); lane++) any |= lanes[lane];
  for (; i < n; i++) {
    out[i] = Storage<kDtype>::Widen(task[i]);
    if constexpr (kMinus) out[i] = out[i] - Storage<kDtype>::Widen(minus[i]);
    any |= (FloatBits(out[i]) & 0x7F800000u) + 0x00800000u;
  }
  return (any & 0x80000000u) == 0;
}

int32_t Difference(int32_t dtype, size_t n, const void* task, const void* minus, float* out) {
  return VisitDtype(static_cast<Dtype>(dtype), [&]<Dtype kDtype>() {
    return minus ? DifferencePiece<kDtype, true>(n, task, minus, out)
                 : DifferencePiece<kDtype, false>(n, task, minus, out);
  });
}

template <Dtype kDtype>
void NarrowPiece(size_t n, const float* src, void* bytes) {
  using Raw = typename Storage<kDtype>::Raw;
  const DF d;
  auto* out = static_cast<Raw*>(bytes);
  size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d))
    Lanes<kDtype>::StoreRounded(hn::LoadU(d, src + i), out + i);
  for (; i < n; i++) out[i] = Storage<kDtype>::Round(src[i]);
}

void Narrow(int32_t dtype, size_t n, const float* src, void* out) {
  VisitDtype(static_cast<Dtype>(dtype), [&]<Dtype kDtype>() { NarrowPiece<kDtype>(n, src, out); });
}

void FillTaskVector(TfBackend* table) {
  table->merge = Merge;
  table->widen = Widen;
  table->difference = Difference;
  table->narrow = Narrow;
}

}  // namespace HWY_NAMESPACE
}  // namespace taskfold
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taskfold {
TASKFOLD_FILL_FOR_TARGET(FillTaskVector)
}
#endif
