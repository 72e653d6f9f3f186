// Included once per SIMD target by Highway's foreach_target: loads of the storage dtypes as f32 vectors and
// rounded stores, equal bit for bit to core/float_convert.h.
#if defined(TASKFOLD_SIMD_DTYPE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TASKFOLD_SIMD_DTYPE_INL_H
#undef TASKFOLD_SIMD_DTYPE_INL_H
#else
#define TASKFOLD_SIMD_DTYPE_INL_H
#endif

#include <cmath>
#include <cstring>

#include "core/float_convert.h"
#include "core/magnitude_key.h"
#include "cpu/float_tables.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace taskfold {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Highway's conversions of f16 are exact only where the machine has them; elsewhere the scalar code is used.
#undef TASKFOLD_NATIVE_F16
#undef TASKFOLD_NATIVE_FMA
// (On x86 a smaller number is a better target, so later ones of newer Highway releases count in.)
#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2) || HWY_ARCH_ARM_A64
#define TASKFOLD_NATIVE_F16 1
#define TASKFOLD_NATIVE_FMA 1
#else
#define TASKFOLD_NATIVE_F16 0
#define TASKFOLD_NATIVE_FMA 0
#endif

using DF = hn::ScalableTag<float>;
using DU = hn::RebindToUnsigned<DF>;
using DI = hn::RebindToSigned<DF>;
using VF = hn::Vec<DF>;
using VU = hn::Vec<DU>;

HWY_INLINE VF CanonicalNaN(VF v) {
  return hn::IfThenElse(hn::IsNaN(v), hn::BitCast(DF(), hn::Set(DU(), kCanonicalNaN32)), v);
}

/// fma with one rounding. Machines without the instruction get the C library's, which is exact and slow.
HWY_INLINE VF ExactMulAdd(VF a, VF b, VF c) {
#if TASKFOLD_NATIVE_FMA
  return hn::MulAdd(a, b, c);
#else
  const DF d;
  HWY_ALIGN float x[HWY_MAX_BYTES / 4], y[HWY_MAX_BYTES / 4], z[HWY_MAX_BYTES / 4];
  hn::Store(a, d, x);
  hn::Store(b, d, y);
  hn::Store(c, d, z);
  for (size_t i = 0; i < hn::Lanes(d); i++) z[i] = std::fma(x[i], y[i], z[i]);
  return hn::Load(d, z);
#endif
}

/// u32 lanes below 2^16 to the memory of 16-bit items.
HWY_INLINE void StoreLow16(VU v, uint16_t* to) {
  const hn::Rebind<uint16_t, DF> d16;
  hn::StoreU(hn::DemoteTo(d16, hn::BitCast(DI(), v)), d16, to);
}

template <Dtype kDtype>
struct Lanes {  // f8 and, where the machine lacks f16, f16: scalar conversions lane by lane
  using Raw = typename Storage<kDtype>::Raw;
  static HWY_INLINE VF Load(const Raw* from) {
    const DF d;
    HWY_ALIGN float lanes[HWY_MAX_BYTES / 4];
    for (size_t i = 0; i < hn::Lanes(d); i++) {
      if constexpr (sizeof(Raw) == 1) {
        lanes[i] = F8Table<kDtype>()[from[i]];
      } else {
        lanes[i] = Storage<kDtype>::Widen(from[i]);
      }
    }
    return hn::Load(d, lanes);
  }
  static HWY_INLINE void StoreRounded(VF v, Raw* to) {
    const DF d;
    HWY_ALIGN float lanes[HWY_MAX_BYTES / 4];
    hn::Store(v, d, lanes);
    for (size_t i = 0; i < hn::Lanes(d); i++) to[i] = Storage<kDtype>::Round(lanes[i]);
  }
};

template <>
struct Lanes<Dtype::kF32> {
  using Raw = uint32_t;
  static HWY_INLINE VF Load(const Raw* from) { return hn::BitCast(DF(), hn::LoadU(DU(), from)); }
  static HWY_INLINE void StoreRounded(VF v, Raw* to) {
    hn::StoreU(hn::BitCast(DU(), CanonicalNaN(v)), DU(), to);
  }
};

template <>
struct Lanes<Dtype::kBF16> {
  using Raw = uint16_t;
  static HWY_INLINE VF Load(const Raw* from) {
    const DU du;
    const hn::Rebind<uint16_t, DF> d16;
    return hn::BitCast(DF(), hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(d16, from))));
  }
  static HWY_INLINE void StoreRounded(VF v, Raw* to) {
    const DU du;
    const VU bits = hn::BitCast(du, v);
    const VU odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const VU rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFF))));
    const auto nan = hn::RebindMask(du, hn::IsNaN(v));
    StoreLow16(hn::IfThenElse(nan, hn::Set(du, 0x7FC0), rounded), to);
  }
};

#if TASKFOLD_NATIVE_F16
template <>
struct Lanes<Dtype::kF16> {
  using Raw = uint16_t;
  static HWY_INLINE VF Load(const Raw* from) {
    const hn::Rebind<uint16_t, DF> d16;
    const hn::Rebind<hwy::float16_t, DF> dh;
    return CanonicalNaN(hn::PromoteTo(DF(), hn::BitCast(dh, hn::LoadU(d16, from))));
  }
  static HWY_INLINE void StoreRounded(VF v, Raw* to) {
    const hn::Rebind<uint16_t, DF> d16;
    const hn::Rebind<hwy::float16_t, DF> dh;
    // The canonical f32 NaN converts to the canonical f16 NaN.
    hn::StoreU(hn::BitCast(d16, hn::DemoteTo(dh, CanonicalNaN(v))), d16, to);
  }
};
#endif

/// Keys as signed lanes: all keys are below 2^31, so signed comparisons order them.
HWY_INLINE hn::Vec<DI> KeyLanes(VF u) {
  const DI di;
  const auto magnitude = hn::And(hn::BitCast(di, u), hn::Set(di, 0x7FFFFFFF));
  // A NaN that arithmetic made is quiet, so it is kNaNKey or above whatever its payload; a loaded one may be
  // lower.
  const auto nan = hn::Gt(magnitude, hn::Set(di, static_cast<int32_t>(kInfinityKey)));
  return hn::IfThenElse(nan, hn::Set(di, static_cast<int32_t>(kNaNKey)), magnitude);
}

/// Mask as bits, lane 0 in bit 0.
template <class M>
HWY_INLINE uint64_t MaskBits(M mask) {
  // Read back exactly what was written: a wider load would wait for the store.
  if constexpr (HWY_MAX_BYTES / 4 > 8) {
    uint16_t bits;
    static_assert(HWY_MAX_BYTES / 4 <= 16);
    hn::StoreMaskBits(DI(), mask, reinterpret_cast<uint8_t*>(&bits));
    return bits;
  } else {
    uint8_t bits;
    hn::StoreMaskBits(DI(), mask, &bits);
    return bits & ((1u << hn::Lanes(DI())) - 1);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace taskfold
HWY_AFTER_NAMESPACE();

#endif
