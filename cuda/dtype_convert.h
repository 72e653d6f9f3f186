#pragma once

#include "block.h"
#include "core/float_convert.h"
#include "tuning.h"

namespace taskfold::cuda {

/// to[i] = round(from[i]), sixteen elements a thread at a time where that many are left; counts what changed.
template <Dtype kFrom, Dtype kTo>
struct ConvertBody {
  static constexpr uint32_t kThreads = kConvertTuning.threads;
  struct Shared {};
  using From = typename Storage<kFrom>::Raw;
  using To = typename Storage<kTo>::Raw;
  /// Elements of one step: whole 16-byte words on both sides.
  static constexpr uint64_t kStep = 16;

  const From* from;
  To* to;
  uint64_t elements;
  uint64_t* inexact;  // or null

  TF_KERNEL static bool Convert(const From& value, To& result) {
    const float wide = Storage<kFrom>::Widen(value);
    result = Storage<kTo>::Round(wide);
    const float back = Storage<kTo>::Widen(result);
    return !(back == wide || (back != back && wide != wide));
  }

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    using VecFrom = Vec16<From>;
    using VecTo = Vec16<To>;
    typename Block::template PerThread<uint64_t> changed(block);
    const uint64_t steps = elements / kStep;
    const uint64_t stride = static_cast<uint64_t>(block.blocks()) * kThreads;
    block.ForEach([&](uint32_t thread) {
      uint64_t count = 0;
      const uint64_t first = static_cast<uint64_t>(block.index()) * kThreads + thread;
      for (uint64_t step = first; step < steps; step += stride) {
        VecFrom in[kStep / VecFrom::kItems];
        VecTo out[kStep / VecTo::kItems];
        for (uint32_t v = 0; v < kStep / VecFrom::kItems; v++) {
          in[v] = reinterpret_cast<const VecFrom*>(from + step * kStep)[v];
        }
        for (uint32_t i = 0; i < kStep; i++) {
          count += Convert(in[i / VecFrom::kItems].item[i % VecFrom::kItems],
                           out[i / VecTo::kItems].item[i % VecTo::kItems]);
        }
        for (uint32_t v = 0; v < kStep / VecTo::kItems; v++) {
          reinterpret_cast<VecTo*>(to + step * kStep)[v] = out[v];
        }
      }
      for (uint64_t i = steps * kStep + first; i < elements; i += stride) count += Convert(from[i], to[i]);
      changed[thread] = count;
    });
    if (inexact == nullptr) return;
    const uint64_t sum = block.Sum(changed);
    block.ForEach([&](uint32_t thread) {
      if (thread == 0 && sum != 0) block.AtomicAdd(inexact, sum);
    });
  }
};

}  // namespace taskfold::cuda
