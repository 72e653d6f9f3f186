// The sample that guesses a selection's first windows: pages of every tensor at even distances.
#include <mutex>

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/operand_reader.h"
#include "ops/task_vector.h"
#include "ops/work_list.h"

namespace taskfold {
namespace {

// Entries in one page, and about how many entries are wanted in all: the window then holds under 1 % of the entries.
constexpr uint64_t kPage = 1024;
constexpr uint64_t kWanted = uint64_t{1} << 19;

enum Slot : size_t { kMerged, kKeys, kBase, kTasks = kBase + 3 };

}  // namespace

void SampleResiduals(const std::vector<MergeTensor>& tensors, float lambda, Selection& selection,
                     RunControl& control) {
  const TfBackend& backend = ActiveBackend();
  uint64_t total = 0;
  for (const MergeTensor& tensor : tensors) {
    total += tensor.elements;
    CheckOperandLength(tensor.name, "base", tensor.base.region, tensor.elements, tensor.base.dtype);
    if (tensor.tasks.size() != selection.tasks()) {
      throw Error("INVALID_ARGUMENT", tensor.name + ": as many tasks as the selection has are needed")
          .Tensor(tensor.name);
    }
    for (const Operand& task : tensor.tasks) {
      CheckOperandLength(tensor.name, "task", task.region, tensor.elements, task.dtype);
    }
  }
  const uint64_t stride = std::max<uint64_t>(1, total / kWanted);  // in pages
  // Tensors below a stride would never be hit: pages are numbered through all tensors.
  WorkList pages;
  for (const MergeTensor& tensor : tensors) pages.Add((tensor.elements + kPage - 1) / kPage);
  const size_t samples = (pages.items() + stride - 1) / stride;
  std::vector<std::vector<uint32_t>> keys(selection.tasks());
  std::mutex mutex;
  ScratchPerWorker scratches(control.threads());
  ParallelFor(samples, control.threads(), [&](size_t sample, unsigned worker) {
    control.ThrowIfCancelled();
    Scratch& scratch = scratches[worker];
    const auto [which, page] = pages.Find(static_cast<size_t>(sample * stride));
    const MergeTensor& tensor = tensors[which];
    const uint64_t first = page * kPage;
    const auto n = static_cast<size_t>(std::min<uint64_t>(kPage, tensor.elements - first));
    const auto dtype = static_cast<int32_t>(tensor.dtype);
    std::vector<const void*> tasks(tensor.tasks.size());
    for (size_t t = 0; t < tasks.size(); t++) {
      tasks[t] = ReadElements(backend, tensor.tasks[t], tensor.dtype, first, n, scratch, kTasks + 3 * t);
    }
    const void* base = ReadElements(backend, tensor.base, tensor.dtype, first, n, scratch, kBase);
    uint8_t* merged = scratch.Get(kMerged, n * ItemSize(tensor.dtype));
    backend.merge(dtype, n, base, tasks.data(), tasks.size(), lambda, merged);
    TfTally tally;
    tally.keys = scratch.Array<uint32_t>(kKeys, n);
    for (size_t t = 0; t < tasks.size(); t++) {
      if (!selection.Active(t)) continue;
      backend.tally(dtype, n, merged, tasks[t], {0, kKeyEnd}, &tally);
      std::lock_guard<std::mutex> lock(mutex);
      keys[t].insert(keys[t].end(), tally.keys, tally.keys + tally.inside);
    }
  });
  for (size_t t = 0; t < keys.size(); t++) selection.UseSample(t, keys[t], stride == 1);
}

}  // namespace taskfold
