// The sample that guesses a selection's first windows: pages of every tensor at even distances.
#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/operand_reader.h"
#include "ops/task_vector.h"
#include "ops/work_list.h"

namespace taskfold {
namespace {

// Entries in one page, and about how many entries are wanted in all: the window then holds about 1 % of the
// entries.
constexpr uint64_t kPage = 1024;
constexpr uint64_t kWanted = uint64_t{1} << 19;

enum Slot : size_t { kMerged, kKeys, kBase, kTasks = kBase + 3 };

/// Residuals of one page: θ* (null: none) and every task's values.
struct Page {
  Dtype dtype = Dtype::kF32;
  size_t n = 0;
  const void* merged = nullptr;
  std::vector<const void*> tasks;
};

/// Visits pages of tensors with `elements` and adds their keys to one histogram a task.
template <class Tensor, class ReadPage>
void SamplePages(const std::vector<Tensor>& tensors, Selection& selection, RunControl& control,
                 const ReadPage& read_page) {
  control.ThrowIfCancelled();
  const TfBackend& backend = ActiveBackend();
  // Tensors below a stride would never be hit on their own: pages are numbered through all tensors.
  WorkList pages;
  for (const Tensor& tensor : tensors) pages.Add((tensor.elements + kPage - 1) / kPage);
  const uint64_t stride = std::max<uint64_t>(1, pages.items() / (kWanted / kPage));
  const size_t samples = (pages.items() + stride - 1) / stride;
  using Histogram = std::vector<std::atomic<uint32_t>>;
  std::vector<Histogram> histograms;
  for (size_t t = 0; t < selection.tasks(); t++) histograms.emplace_back(Selection::kSampleBins);
  ScratchPerWorker scratches(control.threads());
  ParallelFor(samples, control.threads(), [&](size_t sample, unsigned worker) {
    control.ThrowIfCancelled();
    Scratch& scratch = scratches[worker];
    const auto [which, number] = pages.Find(static_cast<size_t>(sample * stride));
    const uint64_t first = number * kPage;
    const auto n = static_cast<size_t>(std::min<uint64_t>(kPage, tensors[which].elements - first));
    Page page;
    NamingTensor(tensors[which].name,
                 [&, entry = which] { page = read_page(tensors[entry], first, n, scratch); });
    TfTally tally;
    tally.keys = scratch.Array<uint32_t>(kKeys, n);
    for (size_t t = 0; t < page.tasks.size(); t++) {
      if (!selection.Active(t)) continue;
      backend.tally(static_cast<int32_t>(page.dtype), n, page.merged, page.tasks[t], {0, kKeyEnd}, &tally);
      for (uint32_t i = 0; i < tally.inside; i++) {
        histograms[t][tally.keys[i] >> Selection::kSampleShift].fetch_add(1, std::memory_order_relaxed);
      }
    }
  });
  for (size_t t = 0; t < histograms.size(); t++) selection.UseSample(t, histograms[t]);
}

std::vector<const void*> ReadTasks(const std::vector<Operand>& tasks, Dtype dtype, uint64_t first, size_t n,
                                   Scratch& scratch) {
  std::vector<const void*> values(tasks.size());
  for (size_t t = 0; t < tasks.size(); t++) {
    values[t] = ReadElements(ActiveBackend(), tasks[t], dtype, first, n, scratch, kTasks + 3 * t);
  }
  return values;
}

}  // namespace

void SampleResiduals(const std::vector<MergeTensor>& tensors, float lambda, Selection& selection,
                     RunControl& control) {
  for (const MergeTensor& tensor : tensors) CheckMergeTensor(tensor, selection.tasks());
  SamplePages(tensors, selection, control,
              [&](const MergeTensor& tensor, uint64_t first, size_t n, Scratch& scratch) -> Page {
                Page page{tensor.dtype, n, nullptr, ReadTasks(tensor.tasks, tensor.dtype, first, n, scratch)};
                const void* base =
                    ReadElements(ActiveBackend(), tensor.base, tensor.dtype, first, n, scratch, kBase);
                uint8_t* merged = scratch.Get(kMerged, n * ItemSize(tensor.dtype));
                ActiveBackend().merge(static_cast<int32_t>(tensor.dtype), n, base, page.tasks.data(),
                                      page.tasks.size(), lambda, merged);
                page.merged = merged;
                return page;
              });
}

void SampleResiduals(const std::vector<ResidualTensor>& tensors, Selection& selection, RunControl& control) {
  for (const ResidualTensor& tensor : tensors) CheckResidualTensor(tensor, selection.tasks());
  SamplePages(tensors, selection, control,
              [&](const ResidualTensor& tensor, uint64_t first, size_t n, Scratch& scratch) -> Page {
                const void* merged = tensor.merged
                                         ? ReadElements(ActiveBackend(), {*tensor.merged, tensor.dtype},
                                                        tensor.dtype, first, n, scratch, kBase)
                                         : nullptr;
                return {tensor.dtype, n, merged, ReadTasks(tensor.tasks, tensor.dtype, first, n, scratch)};
              });
}

}  // namespace taskfold
