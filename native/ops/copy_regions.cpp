#include "ops/copy_regions.h"

#include "core/thread_pool.h"
#include "ops/operand_reader.h"
#include "ops/work_list.h"

namespace taskfold {

namespace {
// Small enough for the second-level cache, large enough that system calls cost nothing.
constexpr uint64_t kCopyBytes = 262144;
}  // namespace

void CopyRegions(const std::vector<RegionCopy>& copies, RunControl& control) {
  control.ThrowIfCancelled();
  WorkList list;
  for (const RegionCopy& copy : copies) {
    if (copy.from.length() != copy.to.length()) {
      throw Error("INVALID_ARGUMENT", copy.name + ": " + std::to_string(copy.from.length()) + " bytes into " +
                                          std::to_string(copy.to.length()))
          .Tensor(copy.name);
    }
    CheckWritable(copy.name, "to", copy.to.file().get());
    list.Add((copy.from.length() + kCopyBytes - 1) / kCopyBytes);
  }
  ScratchPerWorker scratches(control.threads());
  ParallelFor(list.items(), control.threads(), [&](size_t item, unsigned worker) {
    control.ThrowIfCancelled();
    const auto [which, piece] = list.Find(item);
    const RegionCopy& copy = copies[which];
    const uint64_t offset = piece * kCopyBytes;
    const auto length = static_cast<size_t>(std::min(kCopyBytes, copy.from.length() - offset));
    NamingTensor(copy.name, [&] {
      copy.to.Write(offset, length, copy.from.Read(offset, length, scratches[worker].Get(0, kCopyBytes)));
    });
    control.AddProgress(length);
  });
}

}  // namespace taskfold
