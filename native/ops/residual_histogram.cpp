#include "ops/residual_histogram.h"

#include <algorithm>
#include <cmath>

#include "backend/registry.h"
#include "core/block_scatter.h"
#include "core/float_convert.h"
#include "core/thread_pool.h"
#include "ops/finite_residual.h"
#include "ops/operand_reader.h"
#include "ops/scratch.h"
#include "ops/work_list.h"

namespace taskfold {
namespace {

enum Slot : size_t { kStar, kBase, kFloats = kBase + 3, kTasks };

/// Blocks whose sums are held before they are added in order.
constexpr size_t kWindow = 1024;
/// Tables of counters that neighbours go to in turn: they often fall into one bin, and a counter cannot be
/// raised again before it was stored.
constexpr size_t kWays = 4;

uint32_t BinOf(float u) { return (FloatBits(u) & 0x7FFFFFFFu) >> 16; }

uint32_t LargestBin(const float* u, size_t n) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; i++) largest = std::max(largest, FloatBits(u[i]) & 0x7FFFFFFFu);
  return largest >> 16;
}

size_t Zeros(const float* u, size_t n) {
  uint32_t zeros = 0;
  for (size_t i = 0; i < n; i++) zeros += u[i] == 0 ? 1 : 0;
  return zeros;
}

}  // namespace

/// What one thread works with.
struct ResidualHistogram::Worker {
  Scratch scratch;
  std::vector<uint32_t> counters = std::vector<uint32_t>(kWays * kHistogramBins);

  /// Adds the bins of u ≠ 0 to `counts`. n ≤ kBlockElements.
  void Count(const float* u, size_t n, std::mutex& mutex, std::vector<uint64_t>* counts) {
    size_t i = 0;
    for (; i + kWays <= n; i += kWays) {
      for (size_t way = 0; way < kWays; way++) counters[way * kHistogramBins + BinOf(u[i + way])]++;
    }
    for (; i < n; i++) counters[BinOf(u[i])]++;
    const size_t zeros = Zeros(u, n);
    const uint32_t largest = LargestBin(u, n);
    const std::lock_guard<std::mutex> lock(mutex);
    if (counts->empty()) counts->resize(kHistogramBins);
    // From the largest bin down until all are found: few bins are looked at.
    size_t left = n - zeros;
    for (uint32_t bin = largest; bin > 0 && left > 0; bin--) {
      const uint32_t here = Take(bin);
      left -= here;
      (*counts)[bin] += here;
    }
    (*counts)[0] += Take(0) - zeros;
  }

 private:
  uint32_t Take(uint32_t bin) {
    uint32_t sum = 0;
    for (size_t way = 0; way < kWays; way++) {
      sum += counters[way * kHistogramBins + bin];
      counters[way * kHistogramBins + bin] = 0;
    }
    return sum;
  }
};

ResidualHistogram::ResidualHistogram(std::vector<float> lambdas, size_t tasks, size_t groups)
    : lambdas_(std::move(lambdas)), tasks_(tasks), groups_(groups) {
  const bool some = !lambdas_.empty() && tasks > 0 && groups > 0;
  if (!some || tasks > kMaxHistograms || groups > kMaxHistograms || lambdas_.size() > kMaxHistograms ||
      lambdas_.size() * tasks * groups > kMaxHistograms) {
    throw Error("INVALID_ARGUMENT",
                "expected lambdas × tasks × groups to be from 1 to " + std::to_string(kMaxHistograms));
  }
  cells_.resize(lambdas_.size() * tasks * groups);
}

size_t ResidualHistogram::Place(size_t lambda, size_t task, size_t group) const {
  return (group * lambdas_.size() + lambda) * tasks_ + task;
}

void ResidualHistogram::Check(const HistogramTensor& tensor) const {
  const auto refuse = [&](const std::string& why) {
    throw Error("INVALID_ARGUMENT", tensor.name + ": " + why).Tensor(tensor.name);
  };
  if (tensor.tasks.size() != tasks_) {
    refuse(std::to_string(tensor.tasks.size()) + " tasks, expected " + std::to_string(tasks_));
  }
  if (tensor.group >= groups_) refuse("no such group");
  if (tensor.base.has_value() == tensor.merged.has_value()) refuse("expected either base or merged");
  if (tensor.merged && lambdas_.size() != 1) refuse("θ* as stored goes with one lambda only");
  const auto check = [&](const char* operand, const Region& region, Dtype dtype) {
    CheckOperandLength(tensor.name, operand, region, tensor.elements, dtype);
  };
  if (tensor.base) check("base", tensor.base->region, tensor.base->dtype);
  if (tensor.merged) check("merged", *tensor.merged, tensor.dtype);
  for (const Operand& task : tensor.tasks) check("task", task.region, task.dtype);
}

/// `sums`: [lambdas × tasks] of this block.
void ResidualHistogram::CountBlock(const HistogramTensor& tensor, uint64_t block, Worker& worker,
                                   HistogramSums* sums) {
  const TfBackend& backend = ActiveBackend();
  const Dtype dtype = tensor.dtype;
  const auto number = static_cast<int32_t>(dtype);
  const uint64_t first = block * kBlockElements;
  const auto n = static_cast<size_t>(std::min(kBlockElements, tensor.elements - first));
  Scratch& scratch = worker.scratch;
  auto* u = scratch.Array<float>(kFloats, n);
  const Operand& shared = tensor.base ? *tensor.base : Operand{*tensor.merged, dtype};
  const void* base = ReadElements(backend, shared, dtype, first, n, scratch, kBase);
  std::vector<const void*> tasks(tasks_);
  for (size_t t = 0; t < tasks_; t++) {
    tasks[t] = ReadElements(backend, tensor.tasks[t], dtype, first, n, scratch, kTasks + 3 * t);
    backend.widen(number, n, tasks[t], u);
    const double original = SumOfSquares(u, n);
    for (size_t l = 0; l < lambdas_.size(); l++) sums[l * tasks_ + t].original = original;
  }
  for (size_t l = 0; l < lambdas_.size(); l++) {
    const void* star = base;
    if (tensor.base) {
      uint8_t* merged = scratch.Get(kStar, n * ItemSize(dtype));
      backend.merge(number, n, base, tasks.data(), tasks_, lambdas_[l], merged);
      star = merged;
    }
    for (size_t t = 0; t < tasks_; t++) {
      FiniteResidual({&tensor.name, dtype, first, t}, n, tasks[t], star, u);
      HistogramSums& here = sums[l * tasks_ + t];
      here.squared = SumOfSquares(u, n);
      here.absolute = SumOfMagnitudes(u, n);
      here.elements = n;
      worker.Count(u, n, mutex_, &cells_[Place(l, t, tensor.group)].counts);
    }
  }
}

void ResidualHistogram::Count(const std::vector<HistogramTensor>& tensors, RunControl& control) {
  control.ThrowIfCancelled();
  if (broken_) throw Error("INVALID_ARGUMENT", "an earlier job of the histogram failed or was cancelled");
  WorkList list;
  for (const HistogramTensor& tensor : tensors) {
    Check(tensor);
    list.Add(BlockCount(tensor.elements));
  }
  broken_ = true;
  const size_t width = lambdas_.size() * tasks_;
  const size_t window = std::max<size_t>(16, kWindow / width);
  const unsigned threads = control.threads() == 0 ? MachineThreads() : control.threads();
  std::vector<std::unique_ptr<Worker>> workers(threads);
  std::vector<HistogramSums> sums(window * width);
  for (size_t begin = 0; begin < list.items(); begin += window) {
    const size_t count = std::min(window, list.items() - begin);
    ParallelFor(count, threads, [&](size_t i, unsigned thread) {
      control.ThrowIfCancelled();
      if (!workers[thread]) workers[thread] = std::make_unique<Worker>();
      const auto [which, block] = list.Find(begin + i);
      const HistogramTensor& tensor = tensors[which];
      NamingTensor(tensor.name,
                   [&, at = block] { CountBlock(tensor, at, *workers[thread], &sums[i * width]); });
      control.AddProgress(sums[i * width].elements * ItemSize(tensor.dtype) * (1 + tasks_));
    });
    for (size_t i = 0; i < count; i++) {
      const size_t group = tensors[list.Find(begin + i).first].group;
      for (size_t cell = 0; cell < width; cell++) {
        HistogramSums& total = cells_[Place(0, 0, group) + cell].sums;
        const HistogramSums& block = sums[i * width + cell];
        total.squared += block.squared;
        total.absolute += block.absolute;
        total.original += block.original;
        total.elements += block.elements;
      }
    }
  }
  broken_ = false;
}

const ResidualHistogram::Cell& ResidualHistogram::CellOf(size_t lambda, size_t task, size_t group) const {
  if (broken_) throw Error("INVALID_ARGUMENT", "an earlier job of the histogram failed or was cancelled");
  if (lambda >= lambdas_.size() || task >= tasks_ || group >= groups_) {
    throw Error("INVALID_ARGUMENT", "no such lambda, task or group");
  }
  return cells_[Place(lambda, task, group)];
}

ResidualHistogram::Bins ResidualHistogram::BinsOf(size_t lambda, size_t task, size_t group) const {
  const std::vector<uint64_t>& counts = CellOf(lambda, task, group).counts;
  const auto counted = [](uint64_t count) { return count > 0; };
  const auto first = std::find_if(counts.begin(), counts.end(), counted);
  const auto last = std::find_if(counts.rbegin(), counts.rend(), counted).base();
  if (first == counts.end()) return {};
  return {static_cast<uint32_t>(first - counts.begin()), {first, last}};
}

HistogramSums ResidualHistogram::SumsOf(size_t lambda, size_t task, size_t group) const {
  return CellOf(lambda, task, group).sums;
}

}  // namespace taskfold
