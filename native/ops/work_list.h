#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace taskfold {

/// Numbers the pieces of many tensors in one sequence, so that threads share them without a queue a tensor.
class WorkList {
 public:
  void Add(uint64_t pieces) { ends_.push_back(items() + pieces); }
  size_t items() const { return ends_.empty() ? 0 : static_cast<size_t>(ends_.back()); }
  /// First item of an entry, and how many it has.
  size_t First(size_t entry) const { return entry == 0 ? 0 : static_cast<size_t>(ends_[entry - 1]); }
  size_t Count(size_t entry) const { return static_cast<size_t>(ends_[entry]) - First(entry); }
  /// (entry, piece within the entry) of an item.
  std::pair<size_t, uint64_t> Find(size_t item) const {
    const auto entry =
        static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), item) - ends_.begin());
    return {entry, item - First(entry)};
  }

 private:
  std::vector<uint64_t> ends_;
};

}  // namespace taskfold
