#include "ops/value_writer.h"

#include <array>
#include <cmath>

#include "backend/registry.h"
#include "core/thread_pool.h"
#include "ops/added_values.h"
#include "ops/block_streams.h"
#include "ops/operand_reader.h"
#include "ops/value_codes.h"

namespace taskfold {
namespace {

/// Groups of int4 that one thread codes in one go.
constexpr size_t kGroupsPerItem = 256;

/// One tensor while its values are coded.
class ValueWriter {
 public:
  ValueWriter(const EmitTensor& tensor, const ValueStore& values, const MarkStore& marks,
              const std::vector<uint64_t>& starts, ArrayWriter& writer, RunControl& control)
      : tensor_(tensor),
        item_(ItemSize(tensor.dtype)),
        values_(values),
        marks_(marks),
        starts_(starts),
        writer_(writer),
        control_(control),
        group_(BlocksPerGroup(control.threads())),
        scratches_(group_) {}

  void WritePlain() {
    ForEachGroup([&](uint64_t first, size_t count) {
      const uint64_t offset = starts_[first] * item_;
      const auto length = static_cast<size_t>(starts_[first + count] * item_ - offset);
      writer_.Append(values_.Read(offset, length, scratches_[0].Get(0, length)), length);
    });
  }

  /// False, and nothing written, when `worthwhile` bytes or more would be written.
  bool WriteCoded(uint64_t worthwhile) {
    const CodeTable table = CodeTable::Fit(CountSymbols());
    std::vector<uint8_t> stored_table;
    table.Write(&stored_table);
    const uint64_t front = BlockStreams::OffsetBytes(tensor_.elements) + stored_table.size();
    std::vector<uint64_t> offsets{0};
    std::vector<std::vector<uint8_t>> streams(group_);
    bool fits = true;
    ForEachGroup([&](uint64_t first, size_t count) {
      if (!fits) return;
      ParallelFor(count, control_.threads(), [&](size_t b, unsigned) {
        streams[b].clear();
        const auto [items, entries] = ItemsOf(first + b, scratches_[b]);
        if (entries > 0) WriteValues(items, item_, entries, table, &streams[b]);
      });
      uint64_t end = front + offsets.back();
      for (size_t b = 0; b < count; b++) end += streams[b].size();
      // Nothing is written behind where plain values would end.
      fits = end < worthwhile;
      for (size_t b = 0; fits && b < count; b++) {
        writer_.WriteAhead(front + offsets.back(), streams[b].data(), streams[b].size());
        offsets.push_back(offsets.back() + streams[b].size());
      }
    });
    if (!fits) return false;
    const std::vector<uint8_t> stored_offsets = BlockStreams::Encode(tensor_.elements, offsets);
    writer_.Append(stored_offsets.data(), stored_offsets.size());
    writer_.Append(stored_table.data(), stored_table.size());
    writer_.Skip(offsets.back());
    return true;
  }

  float WriteSigns() {
    double sum = 0;
    uint8_t byte = 0;
    uint32_t filled = 0;
    std::vector<uint8_t> bytes;
    ForEachResiduals([&](const float* u, uint64_t first, size_t count) {
      for (size_t b = 0; b < count; b++) {
        double part = 0;  // of a block: the order of the sum depends on nothing but the tensor
        for (uint64_t i = starts_[first + b]; i < starts_[first + b + 1]; i++) {
          const float x = u[i - starts_[first]];
          part += std::fabs(static_cast<double>(x));
          byte = static_cast<uint8_t>(byte | (x < 0 ? 1U : 0U) << filled);
          if (++filled < 8) continue;
          bytes.push_back(byte);
          byte = 0;
          filled = 0;
        }
        sum += part;
      }
      writer_.Append(bytes.data(), bytes.size());
      bytes.clear();
    });
    if (filled > 0) writer_.Append(&byte, 1);
    return static_cast<float>(sum / static_cast<double>(starts_.back()));
  }

  std::vector<uint16_t> WriteInt4() {
    std::vector<uint16_t> scales;
    std::vector<float> waiting;  // entries that do not fill a group yet, in front of the next ones
    const auto code = [&](size_t count) {
      const size_t groups = (count + kInt4Group - 1) / kInt4Group;
      const size_t first = scales.size();
      scales.resize(first + groups);
      std::vector<uint8_t> bytes(groups * kInt4Group / 2);
      ParallelFor(
          (groups + kGroupsPerItem - 1) / kGroupsPerItem, control_.threads(), [&](size_t run, unsigned) {
            const size_t end = std::min(groups, (run + 1) * kGroupsPerItem);
            for (size_t g = run * kGroupsPerItem; g < end; g++) {
              int8_t codes[kInt4Group] = {0};
              const size_t at = g * kInt4Group;
              scales[first + g] = EncodeInt4(&waiting[at], std::min<size_t>(kInt4Group, count - at), codes);
              for (size_t i = 0; i < kInt4Group; i += 2) {
                bytes[(at + i) / 2] = static_cast<uint8_t>((codes[i] & 15) | (codes[i + 1] & 15) << 4);
              }
            }
          });
      writer_.Append(bytes.data(), (count + 1) / 2);
      waiting.erase(waiting.begin(), waiting.begin() + static_cast<ptrdiff_t>(count));
    };
    ForEachResiduals([&](const float* u, uint64_t first, size_t count) {
      waiting.insert(waiting.end(), u, u + (starts_[first + count] - starts_[first]));
      code(waiting.size() / kInt4Group * kInt4Group);
    });
    if (!waiting.empty()) code(waiting.size());
    return scales;
  }

 private:
  template <class F>
  void ForEachGroup(const F& each) {
    const uint64_t blocks = starts_.size() - 1;
    for (uint64_t first = 0; first < blocks; first += group_) {
      control_.ThrowIfCancelled();
      each(first, static_cast<size_t>(std::min<uint64_t>(group_, blocks - first)));
    }
  }

  std::pair<const uint8_t*, size_t> ItemsOf(uint64_t block, Scratch& scratch) const {
    const auto count = static_cast<size_t>(starts_[block + 1] - starts_[block]);
    uint8_t* room = scratch.Get(0, count * item_);
    return {values_.Read(starts_[block] * item_, count * item_, room), count};
  }

  std::vector<uint64_t> CountSymbols() {
    std::vector<uint64_t> counts(256);
    std::vector<std::array<uint64_t, 256>> parts(group_);
    ForEachGroup([&](uint64_t first, size_t count) {
      ParallelFor(count, control_.threads(), [&](size_t b, unsigned) {
        parts[b].fill(0);
        const auto [items, entries] = ItemsOf(first + b, scratches_[b]);
        CountValueSymbols(items, item_, entries, parts[b].data());
      });
      for (size_t b = 0; b < count; b++) {
        for (size_t s = 0; s < 256; s++) counts[s] += parts[b][s];
      }
    });
    return counts;
  }

  /// Calls each(u, first, count) with the residuals of the kept entries of runs of blocks.
  template <class F>
  void ForEachResiduals(const F& each) {
    Scratch all;
    ForEachGroup([&](uint64_t first, size_t count) {
      auto* u = all.Array<float>(0, starts_[first + count] - starts_[first]);
      ParallelFor(count, control_.threads(), [&](size_t b, unsigned) {
        ReadResiduals(first + b, u + (starts_[first + b] - starts_[first]), scratches_[b]);
      });
      each(u, first, count);
    });
  }

  /// u = θt − θ* in f32 at the kept entries of a block.
  void ReadResiduals(uint64_t block, float* u, Scratch& scratch) const {
    const TfBackend& backend = ActiveBackend();
    const auto dtype = static_cast<int32_t>(tensor_.dtype);
    const auto [items, count] = ItemsOf(block, scratch);
    if (count == 0) return;
    const uint64_t first = block * kBlockElements;
    const auto n = static_cast<size_t>(std::min(kBlockElements, tensor_.elements - first));
    uint64_t words[kBlockWords];
    const uint64_t* bits = marks_.Get(block, (n + 63) / 64, words);
    const uint8_t* merged = ReadAligned(tensor_.merged, first * item_, n * item_, scratch.Get(1, n * item_));
    uint8_t* gathered = scratch.Get(2, count * item_);
    backend.gather(item_, n, bits, merged, gathered);
    auto* wide = scratch.Array<float>(3, count);
    backend.widen(dtype, count, items, u);
    backend.widen(dtype, count, gathered, wide);
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
      u[i] -= wide[i];
      finite &= std::isfinite(u[i]);
    }
    if (finite) return;
    auto* positions = scratch.Array<uint16_t>(4, n);
    backend.positions(n, bits, positions);
    size_t at = 0;
    while (std::isfinite(u[at])) at++;
    const uint64_t index = first + positions[at];
    throw Error("NON_FINITE", tensor_.name + ": θt − θ* at " + std::to_string(index) +
                                  " is NaN or infinite, which only codec exact can store")
        .Tensor(tensor_.name)
        .Index(index);
  }

  const EmitTensor& tensor_;
  size_t item_;
  const ValueStore& values_;
  const MarkStore& marks_;
  const std::vector<uint64_t>& starts_;
  ArrayWriter& writer_;
  RunControl& control_;
  size_t group_;
  std::vector<Scratch> scratches_;
};

}  // namespace

WrittenValues WriteHeldValues(const EmitTensor& tensor, ValueCode wanted, const ValueStore& values,
                              const MarkStore& marks, const std::vector<uint64_t>& starts,
                              ArrayWriter& writer, RunControl& control) {
  ValueWriter held(tensor, values, marks, starts, writer, control);
  WrittenValues written;
  written.code = wanted;
  if (wanted == ValueCode::kSign) {
    written.scale = held.WriteSigns();
  } else if (wanted == ValueCode::kInt4) {
    written.scales = held.WriteInt4();
  } else {
    const uint64_t plain = starts.back() * ItemSize(tensor.dtype);
    // Less than 90 %.
    const uint64_t worthwhile = wanted == ValueCode::kAuto ? (plain * 9 + 9) / 10 : UINT64_MAX;
    written.code = held.WriteCoded(worthwhile) ? ValueCode::kCoded : ValueCode::kPlain;
    if (written.code == ValueCode::kPlain) held.WritePlain();
  }
  return written;
}

}  // namespace taskfold
