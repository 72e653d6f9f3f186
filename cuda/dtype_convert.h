#pragma once

#include "block.h"
#include "core/float_convert.h"
#include "tuning.h"

namespace taskfold::cuda {

/// to[i] = round(from[i]), as many elements at a time as the wider dtype has in 16 bytes, so that a warp
/// reads and writes whole rows on both sides; counts what changed.
template <Dtype kFrom, Dtype kTo>
struct ConvertBody {
  static constexpr Tuning kTuning = kConvertTuning;
  static constexpr uint32_t kThreads = kTuning.threads;
  struct Shared {};
  using From = typename Storage<kFrom>::Raw;
  using To = typename Storage<kTo>::Raw;
  /// Elements of one step.
  static constexpr uint32_t kStep = 16 / (sizeof(From) > sizeof(To) ? sizeof(From) : sizeof(To));

  const From* from;
  To* to;
  uint64_t elements;
  uint64_t* inexact;  // or null

  /// One step's elements, loaded or stored at once.
  template <class T>
  struct alignas(sizeof(T) * kStep) Step {
    T item[kStep];
  };

  TF_KERNEL static bool Convert(const From& value, To& result) {
    const float wide = Storage<kFrom>::Widen(value);
    result = Storage<kTo>::Round(wide);
    const float back = Storage<kTo>::Widen(result);
    return !(back == wide || (back != back && wide != wide));
  }

  template <class Block>
  TF_KERNEL void operator()(Block& block) const {
    typename Block::template PerThread<uint64_t> changed(block);
    const uint64_t steps = elements / kStep;
    const uint64_t stride = static_cast<uint64_t>(block.blocks()) * kThreads;
    block.ForEach([&](uint32_t thread) {
      uint32_t count = 0;  // a thread of a full grid does not see 2^32 elements
      const uint64_t first = static_cast<uint64_t>(block.index()) * kThreads + thread;
      for (uint64_t step = first; step < steps; step += stride) {
        const Step<From> in = reinterpret_cast<const Step<From>*>(from)[step];
        Step<To> out;
        for (uint32_t i = 0; i < kStep; i++) count += Convert(in.item[i], out.item[i]);
        reinterpret_cast<Step<To>*>(to)[step] = out;
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
