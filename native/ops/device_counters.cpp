#include "ops/device_counters.h"

#include <algorithm>

namespace taskfold {

// Layout of a lane's slot: the tallies of all tasks, then the counts of all windows.

DeviceCounters::DeviceCounters(const Selection* selection, size_t workers, size_t slot)
    : workers_(workers), slot_(slot) {
  const size_t tasks = selection ? selection->tasks() : 1;
  bytes_ = tasks * sizeof(tf_cuda_tally);
  for (size_t t = 0; t < tasks; t++) {
    tf_cuda_window window{};
    window.low = window.end = kKeyEnd;
    if (selection && selection->Active(t)) {
      const TfWindow keys = selection->Window(t);
      const Selection::Bins bins = selection->WindowBins(t);
      window.low = keys.low;
      window.end = keys.end;
      window.shift = bins.shift;
      window.bins = bins.count;
    }
    bytes_ += uint64_t{window.bins} * sizeof(uint64_t);
    shape_.push_back(window);
  }
}

const std::vector<tf_cuda_window>& DeviceCounters::Windows(Lane& lane, unsigned worker) {
  std::vector<tf_cuda_window>& windows = workers_[worker];
  if (!windows.empty()) return windows;
  windows = shape_;
  auto* tallies = static_cast<tf_cuda_tally*>(lane.Get(slot_, bytes_));
  auto* counts = reinterpret_cast<uint64_t*>(tallies + windows.size());
  lane.Fill(tallies, 0, bytes_);
  for (size_t t = 0; t < windows.size(); t++) {
    windows[t].tally = tallies + t;
    windows[t].counts = windows[t].bins > 0 ? counts : nullptr;
    counts += windows[t].bins;
  }
  return windows;
}

bool DeviceCounters::SawNaN(Lane& lane, unsigned worker) {
  std::vector<tf_cuda_tally> tallies(shape_.size());
  lane.Download(tallies.data(), workers_[worker][0].tally, tallies.size() * sizeof(tf_cuda_tally));
  return std::any_of(tallies.begin(), tallies.end(), [](const auto& tally) { return tally.has_nan != 0; });
}

void DeviceCounters::AddTo(Selection& selection, const LaneLease& lanes) {
  std::vector<uint64_t> words(bytes_ / sizeof(uint64_t));
  for (size_t w = 0; w < workers_.size(); w++) {
    if (workers_[w].empty()) continue;
    lanes[w].Download(words.data(), workers_[w][0].tally, bytes_);
    const auto* tallies = reinterpret_cast<const tf_cuda_tally*>(words.data());
    const uint64_t* counts = words.data() + shape_.size() * (sizeof(tf_cuda_tally) / sizeof(uint64_t));
    for (size_t t = 0; t < shape_.size(); t++) {
      selection.AddCounts(t, tallies[t].above, counts);
      counts += shape_[t].bins;
    }
  }
}

}  // namespace taskfold
