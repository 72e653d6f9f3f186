// Counting and marking of residual entries by the key of |u| = |θt − θ*|.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/magnitude_select.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
//
#include "cpu/simd_dtype-inl.h"
#include "cpu/simd_table.h"

HWY_BEFORE_NAMESPACE();
namespace taskfold {
namespace HWY_NAMESPACE {

/// Residual of one vector; without θ* the task's values themselves are ranked.
template <Dtype kDtype, bool kHasMerged>
HWY_INLINE VF Residual(const typename Storage<kDtype>::Raw* merged,
                       const typename Storage<kDtype>::Raw* task) {
  const VF value = Lanes<kDtype>::Load(task);
  if constexpr (kHasMerged) return hn::Sub(value, Lanes<kDtype>::Load(merged));
  return value;
}

template <Dtype kDtype, bool kHasMerged>
HWY_INLINE uint32_t ScalarKey(const typename Storage<kDtype>::Raw* merged,
                              const typename Storage<kDtype>::Raw* task, size_t i) {
  float u = Storage<kDtype>::Widen(task[i]);
  if constexpr (kHasMerged) u = u - Storage<kDtype>::Widen(merged[i]);
  return MagnitudeKey(u);
}

template <Dtype kDtype, bool kHasMerged>
void TallyPiece(size_t n, const void* merged_bytes, const void* task_bytes, TfWindow window, TfTally* tally) {
  using Raw = typename Storage<kDtype>::Raw;
  const DI di;
  const size_t lanes = hn::Lanes(di);
  const auto* merged = static_cast<const Raw*>(merged_bytes);
  const auto* task = static_cast<const Raw*>(task_bytes);
  // Highway has no ≥ for integers: compare with one less.
  const auto below_low = hn::Set(di, static_cast<int32_t>(window.low) - 1);
  const auto last = hn::Set(di, static_cast<int32_t>(window.end) - 1);
  const auto nan_key = hn::Set(di, static_cast<int32_t>(kNaNKey));
  auto above = hn::Zero(di);  // minus the number of keys ≥ end, per lane
  auto any_nan = hn::Zero(di);
  uint32_t inside = 0;
  size_t i = 0;
  HWY_ALIGN int32_t keys_now[HWY_MAX_BYTES / 4];
  for (; i + lanes <= n; i += lanes) {
    const auto keys = KeyLanes(Residual<kDtype, kHasMerged>(merged + i, task + i));
    const auto over = hn::Gt(keys, last);
    above = hn::Add(above, hn::VecFromMask(di, over));
    any_nan = hn::Or(any_nan, hn::VecFromMask(di, hn::Eq(keys, nan_key)));
    const auto hit = hn::AndNot(over, hn::Gt(keys, below_low));
    if (HWY_UNLIKELY(!hn::AllFalse(di, hit))) {
      hn::Store(keys, di, keys_now);
      for (uint64_t bits = MaskBits(hit); bits != 0; bits &= bits - 1) {
        tally->keys[inside++] = static_cast<uint32_t>(keys_now[__builtin_ctzll(bits)]);
      }
    }
  }
  uint64_t above_total = 0;
  HWY_ALIGN int32_t counts[HWY_MAX_BYTES / 4];
  hn::Store(above, di, counts);
  for (size_t lane = 0; lane < lanes; lane++) above_total += static_cast<uint64_t>(-counts[lane]);
  bool has_nan = !hn::AllFalse(di, hn::Ne(any_nan, hn::Zero(di)));
  for (; i < n; i++) {
    const uint32_t key = ScalarKey<kDtype, kHasMerged>(merged, task, i);
    has_nan |= key == kNaNKey;
    if (key >= window.end) {
      above_total++;
    } else if (key >= window.low) {
      tally->keys[inside++] = key;
    }
  }
  tally->above = above_total;
  tally->inside = inside;
  tally->has_nan = has_nan;
}

template <Dtype kDtype, bool kHasMerged>
void MarkPiece(size_t n, const void* merged_bytes, const void* task_bytes, uint32_t threshold, uint64_t* bits,
               TfMarks* marks) {
  using Raw = typename Storage<kDtype>::Raw;
  const DI di;
  const size_t lanes = hn::Lanes(di);
  const auto* merged = static_cast<const Raw*>(merged_bytes);
  const auto* task = static_cast<const Raw*>(task_bytes);
  const auto limit = hn::Set(di, static_cast<int32_t>(threshold));
  const auto below_limit = hn::Set(di, static_cast<int32_t>(threshold) - 1);
  const auto nan_key = hn::Set(di, static_cast<int32_t>(kNaNKey));
  auto equal_lanes = hn::Zero(di);
  auto any_nan = hn::Zero(di);
  uint32_t at_least = 0, equal = 0;
  bool has_nan = false;
  size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    uint64_t word = 0;
    for (size_t j = 0; j < 64; j += lanes) {
      const auto keys = KeyLanes(Residual<kDtype, kHasMerged>(merged + i + j, task + i + j));
      equal_lanes = hn::Add(equal_lanes, hn::VecFromMask(di, hn::Eq(keys, limit)));
      any_nan = hn::Or(any_nan, hn::VecFromMask(di, hn::Eq(keys, nan_key)));
      word |= MaskBits(hn::Gt(keys, below_limit)) << j;
    }
    bits[i / 64] = word;
    at_least += static_cast<uint32_t>(__builtin_popcountll(word));
  }
  HWY_ALIGN int32_t counts[HWY_MAX_BYTES / 4];
  hn::Store(equal_lanes, di, counts);
  for (size_t lane = 0; lane < lanes; lane++) equal += static_cast<uint32_t>(-counts[lane]);
  has_nan |= !hn::AllFalse(di, hn::Ne(any_nan, hn::Zero(di)));
  if (i < n) {
    uint64_t word = 0;
    for (size_t j = i; j < n; j++) {
      const uint32_t key = ScalarKey<kDtype, kHasMerged>(merged, task, j);
      has_nan |= key == kNaNKey;
      equal += key == threshold;
      if (key >= threshold) word |= uint64_t{1} << (j - i);
    }
    bits[i / 64] = word;
    at_least += static_cast<uint32_t>(__builtin_popcountll(word));
  }
  marks->at_least = at_least;
  marks->equal = equal;
  marks->has_nan = has_nan;
}

void Tally(int32_t dtype, size_t n, const void* merged, const void* task, TfWindow window, TfTally* tally) {
  VisitDtype(static_cast<Dtype>(dtype), [&]<Dtype kDtype>() {
    if (merged) {
      TallyPiece<kDtype, true>(n, merged, task, window, tally);
    } else {
      TallyPiece<kDtype, false>(n, merged, task, window, tally);
    }
  });
}

void Mark(int32_t dtype, size_t n, const void* merged, const void* task, uint32_t threshold, uint64_t* bits,
          TfMarks* marks) {
  VisitDtype(static_cast<Dtype>(dtype), [&]<Dtype kDtype>() {
    if (merged) {
      MarkPiece<kDtype, true>(n, merged, task, threshold, bits, marks);
    } else {
      MarkPiece<kDtype, false>(n, merged, task, threshold, bits, marks);
    }
  });
}

void FillMagnitudeSelect(TfBackend* table) {
  table->tally = Tally;
  table->mark = Mark;
}

}  // namespace HWY_NAMESPACE
}  // namespace taskfold
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace taskfold {
TASKFOLD_FILL_FOR_TARGET(FillMagnitudeSelect)
}
#endif
