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

Selection::Selection(const std::vector<Goal>& goals) : tasks_(goals.size()), max_bins_(BinsFor(goals.size())) {
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
  uint32_t shift = 0;
  while (((uint64_t{width} + (uint64_t{1} << shift) - 1) >> shift) > max_bins_) shift++;
  const auto bins = static_cast<uint32_t>((uint64_t{width} + (uint64_t{1} << shift) - 1) >> shift);
  if (!task.counts || bins != task.bins) task.counts.reset(new std::atomic<uint64_t>[bins]);
  for (uint32_t b = 0; b < bins; b++) task.counts[b].store(0, std::memory_order_relaxed);
  task.low = low;
  task.shift = shift;
  task.bins = bins;
  task.above = 0;
}

TfWindow Selection::Window(size_t t) const {
  const Task& task = tasks_[t];
  if (task.done) return {kKeyEnd, kKeyEnd};
  const uint64_t end = task.low + (uint64_t{task.bins} << task.shift);
  return {task.low, static_cast<uint32_t>(std::min<uint64_t>(end, kKeyEnd))};
}

void Selection::UseSample(size_t t, std::vector<uint32_t>& keys, bool sampled_all) {
  Task& task = tasks_[t];
  if (task.done || keys.empty()) return;
  const auto size = static_cast<double>(keys.size());
  const double rank = sampled_all ? static_cast<double>(task.goal.k)
                                  : static_cast<double>(task.goal.k) / static_cast<double>(task.goal.elements) * size;
  // Eight standard deviations: entries of one page are alike, so a page sample is worse than a random one.
  const double margin = sampled_all ? 0 : 8 * std::sqrt(rank + 1) + 16;
  const auto key_at = [&](double wanted) {
    auto place = static_cast<size_t>(std::clamp(wanted, 1.0, size)) - 1;
    std::nth_element(keys.begin(), keys.begin() + static_cast<ptrdiff_t>(place), keys.end(), std::greater<>());
    return keys[place];
  };
  const uint32_t highest = rank - margin < 1 ? kKeyEnd - 1 : key_at(std::floor(rank - margin));
  const uint32_t lowest = rank + margin > size ? 0 : key_at(std::ceil(rank + margin));
  SetWindow(task, lowest, highest + 1);
}

void Selection::Count(size_t t, const TfTally& tally) {
  Task& task = tasks_[t];
  if (task.done) return;
  task.above.fetch_add(tally.above, std::memory_order_relaxed);
  // Runs of one key (zeros, ties) are added at once: threads would fight over that counter otherwise.
  for (uint32_t i = 0; i < tally.inside;) {
    const uint32_t key = tally.keys[i];
    uint32_t run = 1;
    while (i + run < tally.inside && tally.keys[i + run] == key) run++;
    task.counts[(key - task.low) >> task.shift].fetch_add(run, std::memory_order_relaxed);
    i += run;
  }
}

void Selection::Narrow(Task& task) {
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
    if (!task.done) throw Error("INVALID_ARGUMENT", "the thresholds are not known yet: another pass is needed");
    thresholds.push_back(task.threshold);
  }
  return thresholds;
}

}  // namespace taskfold
