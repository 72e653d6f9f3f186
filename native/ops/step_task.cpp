#include "ops/step_task.h"

#include "core/block_scatter.h"
#include "core/float_convert.h"
#include "ops/stored_bytes.h"

namespace taskfold {

static_assert(kMaxStepPairs <= 256, "numbers of pairs are kept as bytes");

std::shared_ptr<const StepJointBlock> StepJointCache::Find(uint64_t block) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Place& place : places_) {
    if (place.block == block) return place.decoded;
  }
  return nullptr;
}

void StepJointCache::Keep(uint64_t block, std::shared_ptr<const StepJointBlock> decoded) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Place& place : places_) {
    if (place.block == block) return;  // another thread was first
  }
  places_[next_] = {block, std::move(decoded)};
  next_ = (next_ + 1) % kPlaces;
}

StepTask::StepTask(float step, std::vector<CodedTensor> tensors, const CodedArrays& arrays)
    : step_(step), tensors_(std::move(tensors)), layout_(tensors_), codes_(arrays.codes) {
  ReadTables(arrays.tables);
  ReadDirectory(arrays);
}

void StepTask::ReadTables(const Region& tables) {
  // A count of two bytes, and a frequency takes two bytes at most.
  constexpr uint64_t kMost = 2 + kMaxStepPairs * 2 * (1 + 2 * kNumberTokens);
  StoredBytes stored("tables", tables, kMost);
  const auto count = static_cast<size_t>(stored.VarintUpTo(kMaxStepPairs));
  pairs_.reserve(count);
  for (size_t i = 0; i < count; i++) {
    StepPair pair;
    pair.run = stored.Table(kNumberTokens);
    pair.level = stored.Table(kNumberTokens);
    pairs_.emplace_back(pair);
  }
  stored.End();
}

void StepTask::ReadDirectory(const CodedArrays& arrays) {
  // Three bytes for 65 536 entries, two for a pair, three for the words of a block. A segment takes one byte
  // at least, so a file that is too short for these tensors is refused before anything is allocated for them.
  const uint64_t most = layout_.segments() * 5 + layout_.blocks() * 3;
  StoredBytes stored("directory", arrays.directory, most);
  if (arrays.directory.length() < layout_.segments()) stored.Refuse("is too short for these tensors");
  entries_.reserve(layout_.segments());
  numbers_.reserve(layout_.segments());
  offsets_.reserve(layout_.blocks() + 1);
  uint64_t offset = 0;
  for (const StepUnit& unit : layout_.units()) {
    const uint64_t blocks = layout_.Blocks(unit);
    for (uint64_t block = 0; block < blocks; block++) {
      uint64_t total = 0;
      for (size_t s = 0; s < unit.tensors; s++) {
        stored.Tensor(&tensors_[unit.tensor + s].name);
        const auto entries =
            static_cast<uint32_t>(stored.VarintUpTo(SegmentElements(unit, unit.joint() ? s : block)));
        uint64_t number = 0;
        if (entries > 0) {
          number = stored.Varint();
          if (number >= pairs_.size()) stored.Refuse("names a pair of tables that there is not");
        }
        entries_.push_back(entries);
        numbers_.push_back(static_cast<uint8_t>(number));
        total += entries;
      }
      offsets_.push_back(offset);
      if (total > 0) offset += kRansHeader + 2 * stored.VarintUpTo(kMaxEntryWords * total);
    }
  }
  offsets_.push_back(offset);
  stored.Tensor(nullptr);
  stored.End();
  CheckPadded("codes", codes_, offset);
}

size_t StepTask::SegmentElements(const StepUnit& unit, uint64_t segment) const {
  if (unit.joint()) return tensors_[unit.tensor + segment].elements();
  return std::min(kBlockElements, tensors_[unit.tensor].elements() - segment * kBlockElements);
}

StepReader StepTask::ReadStream(uint64_t block, Scratch& scratch, size_t slot) const {
  const uint64_t offset = offsets_[block];
  const auto length = static_cast<size_t>(offsets_[block + 1] - offset);
  uint8_t* bytes = scratch.Get(slot, length + StepReader::kSlack);
  codes_.ReadTo(offset, length, bytes);
  memset(bytes + length, 0, StepReader::kSlack);
  return StepReader(bytes, length);
}

size_t StepTask::DecodeOwn(size_t tensor, uint64_t block, size_t n, Scratch& scratch, size_t slot) const {
  const StepUnit& unit = layout_.UnitOfTensor(tensor);
  const uint64_t segment = unit.segment + block;
  const size_t entries = entries_[segment];
  if (entries == 0) return 0;
  StepReader reader = ReadStream(unit.block + block, scratch, slot);
  const bool inside =
      reader.Segment(pairs_[numbers_[segment]], step_, entries, n, scratch.Array<uint16_t>(slot + 1, entries),
                     scratch.Array<float>(slot + 2, entries));
  if (!inside || !reader.Finished()) {
    const std::string& name = tensors_[tensor].name;
    throw Error("PACK_INVALID", name + ": block " + std::to_string(block) + ": the codes are damaged")
        .Tensor(name);
  }
  return entries;
}

std::shared_ptr<const StepJointBlock> StepTask::Joint(const StepUnit& unit, Scratch& scratch,
                                                      size_t slot) const {
  if (auto known = cache_.Find(unit.block)) return known;
  auto joint = std::make_shared<StepJointBlock>();
  joint->starts.push_back(0);
  for (size_t s = 0; s < unit.tensors; s++)
    joint->starts.push_back(joint->starts[s] + entries_[unit.segment + s]);
  const size_t total = joint->starts.back();
  joint->positions.resize(total);
  joint->values.resize(total);
  if (total > 0) {
    StepReader reader = ReadStream(unit.block, scratch, slot);
    bool inside = true;
    for (size_t s = 0; s < unit.tensors && inside; s++) {
      const size_t entries = entries_[unit.segment + s];
      if (entries == 0) continue;
      inside =
          reader.Segment(pairs_[numbers_[unit.segment + s]], step_, entries, SegmentElements(unit, s),
                         joint->positions.data() + joint->starts[s], joint->values.data() + joint->starts[s]);
    }
    if (!inside || !reader.Finished()) {
      const std::string& first = tensors_[unit.tensor].name;
      throw Error("PACK_INVALID", first + " and " + std::to_string(unit.tensors - 1) +
                                      " tensors behind it: the codes of their block are damaged")
          .Tensor(first);
    }
  }
  cache_.Keep(unit.block, joint);
  return joint;
}

namespace {

template <Dtype kDtype>
void AddValues(const uint16_t* positions, const float* values, size_t count, void* dst) {
  auto* items = static_cast<typename Storage<kDtype>::Raw*>(dst);
  for (size_t i = 0; i < count; i++) {
    auto& item = items[positions[i]];
    item = Storage<kDtype>::Round(Storage<kDtype>::Widen(item) + values[i]);
  }
}

class StepRemainder final : public Remainder {
 public:
  StepRemainder(const StepTask& task, size_t tensor)
      : task_(task), tensor_(tensor), unit_(task.layout().UnitOfTensor(tensor)) {}

  void Apply(uint64_t block, size_t n, void* dst, Scratch& scratch, size_t slot) const override {
    WithEntries(block, n, scratch, slot, [&](const uint16_t* positions, const float* values, size_t count) {
      VisitDtype(task_.tensors()[tensor_].dtype,
                 [&]<Dtype kDtype>() { AddValues<kDtype>(positions, values, count, dst); });
    });
  }

  void Marks(uint64_t block, size_t n, uint64_t* bits, Scratch& scratch, size_t slot) const override {
    std::fill_n(bits, (n + 63) / 64, uint64_t{0});
    WithEntries(block, n, scratch, slot, [&](const uint16_t* positions, const float*, size_t count) {
      for (size_t i = 0; i < count; i++) bits[positions[i] / 64] |= uint64_t{1} << (positions[i] % 64);
    });
  }

 private:
  template <class F>
  void WithEntries(uint64_t block, size_t n, Scratch& scratch, size_t slot, const F& f) const {
    if (unit_.joint()) {
      const auto joint = task_.Joint(unit_, scratch, slot);
      const size_t first = joint->starts[tensor_ - unit_.tensor];
      const size_t end = joint->starts[tensor_ - unit_.tensor + 1];
      f(joint->positions.data() + first, joint->values.data() + first, end - first);
      return;
    }
    const size_t count = task_.DecodeOwn(tensor_, block, n, scratch, slot);
    f(scratch.Array<uint16_t>(slot + 1, count), scratch.Array<float>(slot + 2, count), count);
  }

  const StepTask& task_;
  size_t tensor_;
  const StepUnit& unit_;
};

}  // namespace

std::unique_ptr<Remainder> StepTask::Open(size_t index) const {
  return std::make_unique<StepRemainder>(*this, index);
}

std::shared_ptr<const CodedTask> OpenStepTask(float step, std::vector<CodedTensor> tensors,
                                              const CodedArrays& arrays) {
  return std::make_shared<StepTask>(step, std::move(tensors), arrays);
}

}  // namespace taskfold
