#include "ops/convert_region.h"

#include <atomic>
#include <cmath>

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/block_marks.h"
#include "ops/device_regions.h"
#include "ops/operand_reader.h"

namespace taskfold {

uint64_t ConvertRegion(uint64_t elements, const Operand& from, const Operand& to, RunControl& control) {
  CheckOperandLength("convert", "from", from.region, elements, from.dtype);
  CheckOperandLength("convert", "to", to.region, elements, to.dtype);
  CheckWritable("convert", "to", to.region.file().get());
  control.ThrowIfCancelled();
  if (DeviceSet* devices = control.devices()) return ConvertOnDevices(*devices, elements, from, to, control);
  const TfBackend& backend = ActiveBackend();
  const size_t item = ItemSize(to.dtype);
  std::atomic<uint64_t> inexact{0};
  ScratchPerWorker scratches(control.threads());
  ParallelFor(BlockCount(elements), control.threads(), [&](size_t block, unsigned worker) {
    control.ThrowIfCancelled();
    Scratch& scratch = scratches[worker];
    const uint64_t first = block * kBlockElements;
    const auto n = static_cast<size_t>(std::min(kBlockElements, elements - first));
    const float* wide = ReadAsFloat(backend, from, first, n, scratch, 0);
    uint8_t* narrow = scratch.Get(2, n * item);
    backend.narrow(static_cast<int32_t>(to.dtype), n, wide, narrow);
    float* back = scratch.Array<float>(3, n);
    backend.widen(static_cast<int32_t>(to.dtype), n, narrow, back);
    uint64_t changed = 0;
    for (size_t i = 0; i < n; i++)
      changed += !(back[i] == wide[i] || (std::isnan(back[i]) && std::isnan(wide[i])));
    inexact += changed;
    to.region.Write(first * item, n * item, narrow);
    control.AddProgress(n * ItemSize(from.dtype));
  });
  return inexact;
}

}  // namespace taskfold
