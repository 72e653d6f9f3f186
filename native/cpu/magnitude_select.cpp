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

/// Elements that are compared before the few inside the window are looked at: their marks stay in the
/// first-level cache, and the loops stay free of branches that nothing predicts.
constexpr size_t kTallyRun = 4096;

/// Masks of consecutive vectors as bits, one behind the other.
class MaskWriter {
 public:
  explicit MaskWriter(uint64_t* bits) : at_(reinterpret_cast<uint8_t*>(bits)) {}
  /// `lanes` lanes at a time; with four, two masks share a byte.
  template <class M>
  HWY_INLINE void Put(M mask, size_t i) {
    const DI di;
    if constexpr (HWY_MAX_BYTES / 4 >= 8) {
      hn::StoreMaskBits(di, mask, at_ + i / 8);
    } else {
      const auto bits = static_cast<uint8_t>(MaskBits(mask));
      if (i % 8 == 0) {
        at_[i / 8] = bits;
      } else {
        at_[i / 8] = static_cast<uint8_t>(at_[i / 8] | bits << (i % 8));
      }
    }
  }

 private:
  uint8_t* at_;
};

/// Element by element: what a run's marks are when it holds a NaN, and at the end of a piece.
template <Dtype kDtype, bool kHasMerged>
void TallyScalar(size_t begin, size_t end, const typename Storage<kDtype>::Raw* merged,
                 const typename Storage<kDtype>::Raw* task, TfWindow window, TfTally* tally, uint64_t* bits,
                 uint64_t* inside) {
  for (size_t w = begin / 64; w < (end + 63) / 64; w++) bits[w] = inside[w] = 0;
  for (size_t i = begin; i < end; i++) {
    const uint32_t key = ScalarKey<kDtype, kHasMerged>(merged, task, i);
    if (key == kNaNKey) tally->has_nan = 1;
    if (key >= window.low) bits[i / 64] |= uint64_t{1} << (i % 64);
    if (key >= window.end) {
      tally->above++;
    } else if (key >= window.low) {
      tally->keys[tally->inside++] = key;
      inside[i / 64] |= uint64_t{1} << (i % 64);
    }
  }
}

/// Tallies whole words of a run of [0, n). False: a NaN is among them, and nothing was tallied.
template <Dtype kDtype, bool kHasMerged>
HWY_INLINE bool TallyRun(size_t n, const typename Storage<kDtype>::Raw* merged,
                         const typename Storage<kDtype>::Raw* task, TfWindow window, TfTally* tally,
                         uint64_t* bits, uint64_t* hits) {
  const DI di;
  const size_t lanes = hn::Lanes(di);
  // Highway has no ≥ for integers: compare with one less.
  const auto below_low = hn::Set(di, static_cast<int32_t>(window.low) - 1);
  const auto last = hn::Set(di, static_cast<int32_t>(window.end) - 1);
  const auto magnitude_bits = hn::Set(di, 0x7FFFFFFF);
  auto largest = hn::Zero(di);
  uint64_t over[kTallyRun / 64];
  MaskWriter marked(bits), above(over);
  for (size_t i = 0; i < n; i += lanes) {
    // Without a NaN the magnitude's bits are the key.
    const auto keys =
        hn::And(hn::BitCast(di, Residual<kDtype, kHasMerged>(merged + i, task + i)), magnitude_bits);
    largest = hn::Max(largest, keys);
    marked.Put(hn::Gt(keys, below_low), i);
    above.Put(hn::Gt(keys, last), i);
  }
  if (!hn::AllFalse(di, hn::Gt(largest, hn::Set(di, static_cast<int32_t>(kInfinityKey))))) return false;
  uint64_t total = 0;
  uint32_t inside = tally->inside;
  for (size_t w = 0; w < n / 64; w++) {
    uint64_t mark, high;
    memcpy(&mark, bits + w, sizeof mark);
    memcpy(&high, over + w, sizeof high);
    total += static_cast<uint64_t>(__builtin_popcountll(high));
    hits[w] = mark & ~high;
    for (uint64_t hit = hits[w]; hit != 0; hit &= hit - 1) {
      const size_t i = w * 64 + static_cast<size_t>(__builtin_ctzll(hit));
      // The caller's memory may have changed since it was compared; counters are indexed with these.
      const uint32_t key = ScalarKey<kDtype, kHasMerged>(merged, task, i);
      tally->keys[inside++] = HWY_MIN(HWY_MAX(key, window.low), window.end - 1);
    }
  }
  tally->above += total;
  tally->inside = inside;
  return true;
}

/// `bits` null: the marks are not wanted.
template <Dtype kDtype, bool kHasMerged>
void TallyPiece(size_t n, const void* merged_bytes, const void* task_bytes, TfWindow window, TfTally* tally,
                uint64_t* bits) {
  using Raw = typename Storage<kDtype>::Raw;
  const auto* merged = static_cast<const Raw*>(merged_bytes);
  const auto* task = static_cast<const Raw*>(task_bytes);
  tally->above = 0;
  tally->inside = 0;
  tally->has_nan = 0;
  uint64_t unwanted[2 * kTallyRun / 64];
  for (size_t i = 0; i < n; i += kTallyRun) {
    const size_t run = HWY_MIN(kTallyRun, n - i);
    const Raw* merged_run = kHasMerged ? merged + i : merged;
    uint64_t* marks = bits ? bits + i / 64 : unwanted;
    uint64_t* hits = bits ? marks + (n + 63) / 64 : unwanted + kTallyRun / 64;
    size_t whole = run / 64 * 64;
    if (!TallyRun<kDtype, kHasMerged>(whole, merged_run, task + i, window, tally, marks, hits)) whole = 0;
    if (whole < run) {
      TallyScalar<kDtype, kHasMerged>(whole, run, merged_run, task + i, window, tally, marks, hits);
    }
  }
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

void TallyMarks(int32_t dtype, size_t n, const void* merged, const void* task, TfWindow window,
                TfTally* tally, uint64_t* bits) {
  VisitDtype(static_cast<Dtype>(dtype), [&]<Dtype kDtype>() {
    if (merged) {
      TallyPiece<kDtype, true>(n, merged, task, window, tally, bits);
    } else {
      TallyPiece<kDtype, false>(n, merged, task, window, tally, bits);
    }
  });
}

void Tally(int32_t dtype, size_t n, const void* merged, const void* task, TfWindow window, TfTally* tally) {
  TallyMarks(dtype, n, merged, task, window, tally, nullptr);
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
  table->tally_marks = TallyMarks;
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
