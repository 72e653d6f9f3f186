#include "ops/selection.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/error.h"

namespace taskfold {
namespace {

// All tasks' counters together: 2^23 × 8 bytes = 64 MiB at most.
constexpr uint64_t kMaxCounters = uint64_t{1} << 23;

uint32_t BinsFor(size_t tasks) {
  const uint64_t share = kMaxCounters / std::max<size_t>(tasks, 1);
  return static_cast<uint32_t>(std::clamp<uint64_t>(std::bit_floor(share), 1u << 12, 1u << 21));
}

}  // namespace

Selection::Selection(const std::vector<Goal>& goals)
    : tasks_(goals.size()), max_bins_(BinsFor(goals.size())) {
  if (goals.size() > kMaxTasks) {
    throw Error("INVALID_ARGUMENT", std::to_string(goals.size()) + " tasks; at most " +
                                        std::to_string(kMaxTasks) + " are possible");
  }
  for (size_t t = 0; t < goals.size(); t++) {
    Task& task = tasks_[t];
    task.goal = goals[t];
    if (goals[t].k > goals[t].elements) {
      throw Error("INVALID_ARGUMENT", "k = " + std::to_string(goals[t].k) + " of " +
                                          std::to_string(goals[t].elements) + " elements");
    }
    if (goals[t].k == 0) {
      task.done = true;
    } else if (goals[t].k == goals[t].elements) {
      task.done = true;
      task.threshold = {0, goals[t].elements};
    } else {
      SetWindow(task, 0, kKeyEnd);
    }
  }
}

void Selection::SetWindow(Task& task, uint32_t low, uint32_t end) {
  const uint32_t width = end - low;
  // More bins than elements would mostly stay empty.
  const uint64_t most = std::clamp<uint64_t>(std::bit_ceil(task.goal.elements), 4096, max_bins_);
  uint32_t shift = 0;
  while (((uint64_t{width} + (uint64_t{1} << shift) - 1) >> shift) > most) shift++;
  task.low = low;
  task.shift = shift;
  task.bins = static_cast<uint32_t>((uint64_t{width} + (uint64_t{1} << shift) - 1) >> shift);
  task.above = 0;
  task.counts.reset();
}

void Selection::PrepareCounters() {
  for (Task& task : tasks_) {
    if (task.done || task.counts) continue;
    task.counts.reset(new std::atomic<uint64_t>[task.bins]);
    for (uint32_t b = 0; b < task.bins; b++) task.counts[b].store(0, std::memory_order_relaxed);
  }
}

void Selection::BeginPass() {
  std::lock_guard<std::mutex> lock(begin_mutex_);
  PrepareCounters();
}

TfWindow Selection::Window(size_t t) const {
  const Task& task = tasks_[t];
  if (task.done) return {kKeyEnd, kKeyEnd};
  const uint64_t end = task.low + (uint64_t{task.bins} << task.shift);
  return {task.low, static_cast<uint32_t>(std::min<uint64_t>(end, kKeyEnd))};
}

void Selection::UseSample(size_t t, const std::vector<std::atomic<uint32_t>>& histogram) {
  Task& task = tasks_[t];
  uint64_t sampled = 0;
  for (const auto& count : histogram) sampled += count;
  if (task.done || sampled == 0) return;
  const auto size = static_cast<double>(sampled);
  const double rank = static_cast<double>(task.goal.k) / static_cast<double>(task.goal.elements) * size;
  // Eight standard deviations: entries of one page are alike, so a page sample is worse than a random one.
  const double margin = sampled >= task.goal.elements ? 0 : 8 * std::sqrt(rank + 1) + 16;
  uint32_t high = kSampleBins;  // one behind the first bin that can hold the threshold
  uint32_t low = 0;             // the last one
  double passed = 0;
  for (uint32_t bin = kSampleBins; bin-- > 0;) {
    const double here = histogram[bin];
    if (passed <= rank - margin - 1 && passed + here > rank - margin - 1) high = bin + 1;
    passed += here;
    if (passed >= rank + margin) {
      low = bin;
      break;
    }
  }
  if (high <= low) high = low + 1;
  const uint64_t end = std::min<uint64_t>(uint64_t{high} << kSampleShift, kKeyEnd);
  SetWindow(task, low << kSampleShift, static_cast<uint32_t>(end));
}

void Selection::Count(size_t t, const TfTally& tally) {
  Task& task = tasks_[t];
  if (task.done) return;
  task.above.fetch_add(tally.above, std::memory_order_relaxed);
  // The counters of a window exceed the caches: ask for all of them before the first is needed.
  for (uint32_t i = 0; i < tally.inside; i++) {
    __builtin_prefetch(&task.counts[(tally.keys[i] - task.low) >> task.shift], 1);
  }
  // Differences of 16-bit weights fall on few keys, and threads would fight over their counters: equal keys
  // are added up in a small table first.
  struct Slot {
    uint32_t key;
    uint32_t count;
  };
  constexpr uint32_t kSlotBits = 6;
  Slot slots[1u << kSlotBits] = {};
  const auto flush = [&](const Slot& slot) {
    if (slot.count > 0) {
      task.counts[(slot.key - task.low) >> task.shift].fetch_add(slot.count, std::memory_order_relaxed);
    }
  };
  for (uint32_t i = 0; i < tally.inside; i++) {
    const uint32_t key = tally.keys[i];
    Slot& slot = slots[(key * 0x9E3779B1u) >> (32 - kSlotBits)];
    if (slot.key != key) {
      flush(slot);
      slot = {key, 0};
    }
    slot.count++;
  }
  for (const Slot& slot : slots) flush(slot);
}

void Selection::AddCounts(size_t t, uint64_t above, const uint64_t* counts) {
  Task& task = tasks_[t];
  if (task.done) return;
  task.above.fetch_add(above, std::memory_order_relaxed);
  for (uint32_t bin = 0; bin < task.bins; bin++) {
    if (counts[bin] != 0) task.counts[bin].fetch_add(counts[bin], std::memory_order_relaxed);
  }
}

void Selection::Narrow(Task& task) {
  if (!task.counts) throw Error("INVALID_ARGUMENT", "the selection has not counted anything in this pass");
  const uint64_t k = task.goal.k;
  uint64_t greater = task.above.load();
  const uint64_t end = std::min<uint64_t>(task.low + (uint64_t{task.bins} << task.shift), kKeyEnd);
  if (greater >= k) return SetWindow(task, static_cast<uint32_t>(end), kKeyEnd);
  for (uint32_t bin = task.bins; bin-- > 0;) {
    const uint64_t here = task.counts[bin].load(std::memory_order_relaxed);
    if (greater + here < k) {
      greater += here;
      continue;
    }
    const uint32_t low = task.low + (bin << task.shift);
    if (task.shift == 0) {
      task.done = true;
      task.threshold = {low, k - greater};
      task.counts.reset();
      return;
    }
    const uint64_t bin_end = std::min<uint64_t>(low + (uint64_t{1} << task.shift), kKeyEnd);
    return SetWindow(task, low, static_cast<uint32_t>(bin_end));
  }
  if (task.low == 0) {
    throw Error("INVALID_ARGUMENT", "a pass counted " + std::to_string(greater) + " entries where k = " +
                                        std::to_string(k) + " are wanted: it did not see all elements");
  }
  SetWindow(task, 0, task.low);
}

bool Selection::Advance() {
  bool all_done = true;
  for (Task& task : tasks_) {
    if (!task.done) Narrow(task);
    all_done &= task.done;
  }
  return all_done;
}

std::vector<Threshold> Selection::Thresholds() const {
  std::vector<Threshold> thresholds;
  for (const Task& task : tasks_) {
    if (!task.done)
      throw Error("INVALID_ARGUMENT", "the thresholds are not known yet: another pass is needed");
    thresholds.push_back(task.threshold);
  }
  return thresholds;
}

}  // namespace taskfold
