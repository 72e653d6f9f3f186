#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/backend.h"
#include "core/magnitude_key.h"

namespace taskfold {

/// Kept are all keys > key and the first `ties` entries, in order, with that key.
struct Threshold {
  uint32_t key = kKeepNothing;
  uint64_t ties = 0;
};

/// Exact k-th largest key of each task over any number of tensors, by counting.
///
/// Every full pass counts the keys above a window of the key space and, per bin, those inside it. advance()
/// finds the bin of the k-th key and narrows the window to it until a bin is one key wide. A sample, if
/// given, makes the first window narrow, so that one pass is enough as a rule; a misleading sample only costs
/// passes. (A radix select whose first digit is guessed.) Counting is safe from many threads; the result does
/// not depend on their order.
class Selection {
 public:
  /// Far above any real family: keeps a typo or a damaged snapshot from asking for memory.
  static constexpr size_t kMaxTasks = 4096;
  static constexpr uint32_t kSampleShift = 14;
  static constexpr uint32_t kSampleBins = (kKeyEnd >> kSampleShift) + 1;

  struct Goal {
    uint64_t k = 0;
    uint64_t elements = 0;
  };
  explicit Selection(const std::vector<Goal>& goals);
  /// INVALID_ARGUMENT when the bytes are no snapshot.
  static std::unique_ptr<Selection> Restore(const uint8_t* bytes, size_t length);
  std::vector<uint8_t> Snapshot() const;

  size_t tasks() const { return tasks_.size(); }
  /// False once the task's threshold is known.
  bool Active(size_t task) const { return !tasks_[task].done; }
  /// Empty (above every key) for a task that is not active.
  TfWindow Window(size_t task) const;
  /// The histogram behind Window(task): bin b counts keys from low + (b << shift) on; no bins for a task that
  /// is not active.
  struct Bins {
    uint32_t shift = 0;
    uint32_t count = 0;
  };
  Bins WindowBins(size_t task) const {
    return Active(task) ? Bins{tasks_[task].shift, tasks_[task].bins} : Bins{};
  }
  /// Chooses the first window from a histogram of some keys: bin b counts the keys b << kSampleShift and up.
  void UseSample(size_t task, const std::vector<std::atomic<uint32_t>>& histogram);
  /// Must be called before counting; any number of times, from any thread.
  void BeginPass();
  void Count(size_t task, const TfTally& tally);
  /// The same for what a GPU counted since this window was set: keys above it, and counts[WindowBins().count]
  /// inside.
  void AddCounts(size_t task, uint64_t above, const uint64_t* counts);
  /// Closes a pass over all elements. True when every threshold is known.
  bool Advance();
  std::vector<Threshold> Thresholds() const;

 private:
  struct Task {
    Goal goal;
    bool done = false;
    Threshold threshold;
    uint32_t low = 0;
    uint32_t shift = 0;
    uint32_t bins = 0;
    std::atomic<uint64_t> above{0};
    std::unique_ptr<std::atomic<uint64_t>[]> counts;
  };
  void SetWindow(Task& task, uint32_t low, uint32_t end);
  void Narrow(Task& task);
  /// Allocates the counters of every task that still counts.
  void PrepareCounters();

  std::vector<Task> tasks_;
  uint32_t max_bins_ = 0;
  std::mutex begin_mutex_;
};

}  // namespace taskfold
