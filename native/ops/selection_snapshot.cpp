// Selection ↔ bytes for the resume journal: LEB128 numbers, so that the mostly empty counters stay small.
#include <cstring>

#include "core/error.h"
#include "ops/selection.h"

namespace taskfold {
namespace {

constexpr char kMagic[8] = {'T', 'F', 'S', 'E', 'L', '0', '0', '1'};

void Put(std::vector<uint8_t>& bytes, uint64_t value) {
  while (value >= 0x80) {
    bytes.push_back(static_cast<uint8_t>(value | 0x80));
    value >>= 7;
  }
  bytes.push_back(static_cast<uint8_t>(value));
}

class Reader {
 public:
  Reader(const uint8_t* bytes, size_t length) : at_(bytes), end_(bytes + length) {}
  uint64_t Take(uint64_t most) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) break;
      const uint8_t byte = *at_++;
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) {
        if (value > most) break;
        return value;
      }
    }
    throw Error("INVALID_ARGUMENT", "damaged selection snapshot");
  }
  bool AtEnd() const { return at_ == end_; }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace

std::vector<uint8_t> Selection::Snapshot() const {
  std::vector<uint8_t> bytes(kMagic, kMagic + sizeof kMagic);
  Put(bytes, tasks_.size());
  for (const Task& task : tasks_) {
    Put(bytes, task.goal.k);
    Put(bytes, task.goal.elements);
    Put(bytes, task.done);
    if (task.done) {
      Put(bytes, task.threshold.key);
      Put(bytes, task.threshold.ties);
      continue;
    }
    const TfWindow window = Window(static_cast<size_t>(&task - tasks_.data()));
    Put(bytes, window.low);
    Put(bytes, window.end);
    Put(bytes, task.above.load());
    for (uint32_t b = 0; b < task.bins; b++) {
      Put(bytes, task.counts ? task.counts[b].load(std::memory_order_relaxed) : 0);
    }
  }
  return bytes;
}

std::unique_ptr<Selection> Selection::Restore(const uint8_t* bytes, size_t length) {
  if (length < sizeof kMagic || memcmp(bytes, kMagic, sizeof kMagic) != 0) {
    throw Error("INVALID_ARGUMENT", "not a selection snapshot");
  }
  constexpr uint64_t kAny = ~uint64_t{0};
  Reader reader(bytes + sizeof kMagic, length - sizeof kMagic);
  const uint64_t tasks = reader.Take(Selection::kMaxTasks);
  std::unique_ptr<Selection> selection(new Selection(std::vector<Goal>(tasks)));
  for (Task& task : selection->tasks_) {
    task.goal.k = reader.Take(kAny);
    task.goal.elements = reader.Take(kAny);
    task.done = reader.Take(1) == 1;
    if (task.done) {
      task.threshold.key = static_cast<uint32_t>(reader.Take(0xFFFFFFFFu));
      task.threshold.ties = reader.Take(kAny);
      continue;
    }
    const auto low = static_cast<uint32_t>(reader.Take(kKeyEnd));
    const auto end = static_cast<uint32_t>(reader.Take(kKeyEnd));
    if (low >= end) throw Error("INVALID_ARGUMENT", "damaged selection snapshot");
    selection->SetWindow(task, low, end);
    selection->PrepareCounters();
    task.above = reader.Take(kAny);
    for (uint32_t b = 0; b < task.bins; b++) task.counts[b] = reader.Take(kAny);
  }
  if (!reader.AtEnd()) throw Error("INVALID_ARGUMENT", "damaged selection snapshot");
  return selection;
}

}  // namespace taskfold
