// The self-check of everything that makes and applies deltas.
#include <algorithm>

#include "backend/registry.h"
#include "core/magnitude_key.h"
#include "device/self_check_case.h"

namespace taskfold {
namespace {

constexpr size_t kBlockWords = 65536 / 64;

/// A delta as the CPU makes it.
struct Delta {
  uint32_t threshold = 0;
  uint64_t ties = 0;
  std::vector<uint32_t> above, equal, keep_equal;
  std::vector<uint64_t> starts{0};
  std::vector<uint64_t> bits;
  std::vector<uint16_t> positions;
  std::vector<uint8_t> values;
  bool has_nan = false;
};

/// The key of a value that many entries share, so that ties have to be dealt.
uint32_t TieKey(const CheckCase& check) {
  std::vector<float> values(64), merged(64);
  ActiveBackend().widen(check.code, values.size(), check.tasks[0].host.data(), values.data());
  ActiveBackend().widen(check.code, merged.size(), check.merged.host.data(), merged.data());
  std::vector<uint32_t> keys;
  for (size_t i = 0; i < values.size(); i++) {
    const uint32_t key = MagnitudeKey(values[i] - merged[i]);
    if (key < kInfinityKey) keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  return keys[keys.size() / 2];
}

/// Keeps the first `keep` of the bits in `ties`.
void DropBits(uint64_t* bits, const std::vector<uint64_t>& ties, uint32_t keep) {
  for (size_t w = 0; w < kBlockWords; w++) {
    for (uint64_t word = ties[w]; word != 0; word &= word - 1) {
      if (keep > 0) {
        keep--;
      } else {
        bits[w] &= ~(word & -word);
      }
    }
  }
}

Delta MakeDelta(const CheckCase& check) {
  const TfBackend& backend = ActiveBackend();
  Delta delta;
  delta.threshold = TieKey(check);
  delta.bits.resize(CheckCase::kBlocks * kBlockWords);
  std::vector<std::vector<uint64_t>> ties(CheckCase::kBlocks, std::vector<uint64_t>(kBlockWords));
  uint64_t equal = 0;
  for (size_t b = 0; b < CheckCase::kBlocks; b++) {
    const size_t n = check.BlockSize(b), offset = b * 65536 * check.item;
    const uint8_t* values = check.tasks[0].host.data() + offset;
    const uint8_t* merged = check.merged.host.data() + offset;
    uint64_t* bits = delta.bits.data() + b * kBlockWords;
    TfMarks marks{}, above{};
    backend.mark(check.code, n, merged, values, delta.threshold, bits, &marks);
    backend.mark(check.code, n, merged, values, delta.threshold + 1, ties[b].data(), &above);
    for (size_t w = 0; w < kBlockWords; w++) ties[b][w] ^= bits[w];
    delta.above.push_back(above.at_least);
    delta.equal.push_back(marks.equal);
    delta.has_nan |= marks.has_nan != 0;
    equal += marks.equal;
  }
  delta.ties = equal / 2;
  uint64_t left = delta.ties;
  for (size_t b = 0; b < CheckCase::kBlocks; b++) {
    const size_t n = check.BlockSize(b);
    const auto keep = static_cast<uint32_t>(std::min<uint64_t>(left, delta.equal[b]));
    left -= keep;
    delta.keep_equal.push_back(keep);
    delta.starts.push_back(delta.starts.back() + delta.above[b] + keep);
    uint64_t* bits = delta.bits.data() + b * kBlockWords;
    DropBits(bits, ties[b], keep);
    delta.positions.resize(delta.starts.back());
    delta.values.resize(delta.starts.back() * check.item);
    backend.positions(n, bits, delta.positions.data() + delta.starts[b]);
    backend.gather(check.item, n, bits, check.tasks[0].host.data() + b * 65536 * check.item,
                   delta.values.data() + delta.starts[b] * check.item);
  }
  return delta;
}

/// The device's outputs of rank, place and emit.
struct DeviceDelta {
  CheckedArray<uint32_t> above, equal, keep_equal;
  CheckedArray<tf_cuda_tally> tally;
  CheckedArray<uint64_t> ties, starts, bits;
  CheckedArray<uint16_t> positions;
  CheckedBytes values;

  DeviceDelta(Lane& lane, const Delta& delta)
      : above(lane, CheckCase::kBlocks),
        equal(lane, CheckCase::kBlocks),
        keep_equal(lane, CheckCase::kBlocks),
        tally(lane, 1),
        ties(lane, std::vector<uint64_t>{delta.ties}),
        starts(lane, CheckCase::kBlocks + 1),
        bits(lane, delta.bits.size()),
        positions(lane, delta.positions.size()),
        values(lane, delta.values.size()) {}
};

void CheckEmit(CheckCase& check, const Delta& delta, const DeviceDelta& device) {
  tf_cuda_rank_job rank{};
  rank.dtype = check.code;
  rank.threshold = delta.threshold;
  rank.elements = CheckCase::kElements;
  rank.merged = check.merged.on_device();
  rank.task = check.tasks[0].on_device();
  rank.above = device.above.on_device();
  rank.equal = device.equal.on_device();
  rank.tally = device.tally.on_device();
  check.lane.Launch("checking the ranks", check.lane.cuda().rank, rank);
  check.Expect("rank", rank.above, delta.above.data(), delta.above.size() * 4);
  check.Expect("rank", rank.equal, delta.equal.data(), delta.equal.size() * 4);
  tf_cuda_tally tally{};
  check.lane.Download(&tally, rank.tally, sizeof tally);
  if ((tally.has_nan != 0) != delta.has_nan) check.Refuse("rank");

  tf_cuda_place_job place{};
  place.blocks = CheckCase::kBlocks;
  place.above = rank.above;
  place.equal = rank.equal;
  place.ties = device.ties.on_device();
  place.keep_equal = device.keep_equal.on_device();
  place.starts = device.starts.on_device();
  check.lane.Launch("checking the places", check.lane.cuda().place, place);
  constexpr uint64_t kNone = 0;
  check.Expect("place", place.ties, &kNone, sizeof kNone);
  check.Expect("place", place.keep_equal, delta.keep_equal.data(), delta.keep_equal.size() * 4);
  check.Expect("place", place.starts, delta.starts.data(), delta.starts.size() * 8);

  tf_cuda_emit_job emit{};
  emit.dtype = check.code;
  emit.threshold = delta.threshold;
  emit.elements = CheckCase::kElements;
  emit.merged = rank.merged;
  emit.task = rank.task;
  emit.keep_equal = place.keep_equal;
  emit.starts = place.starts;
  emit.values = device.values.on_device();
  emit.positions = device.positions.on_device();
  emit.bits = device.bits.on_device();
  check.lane.Launch("checking the entries", check.lane.cuda().emit, emit);
  check.Expect("emit", emit.values, delta.values.data(), delta.values.size());
  check.Expect("emit", emit.positions, delta.positions.data(), delta.positions.size() * 2);
  check.Expect("emit", emit.bits, delta.bits.data(), delta.bits.size() * 8);
}

/// The delta that emit has just left on the device, scattered and exchanged with each index code.
void CheckScatter(CheckCase& check, const Delta& delta, const DeviceDelta& device) {
  CheckedBytes dense(check.lane, check.merged.host);
  CheckedArray<uint64_t> refused(check.lane, 1);
  const uint64_t none = 0;
  for (size_t b = 0; b < CheckCase::kBlocks; b++) {
    const uint64_t first = delta.starts[b];
    ActiveBackend().scatter_u16(check.item, check.BlockSize(b), dense.host.data() + b * 65536 * check.item,
                                delta.positions.data() + first, delta.values.data() + first * check.item,
                                delta.starts[b + 1] - first);
  }
  for (const int32_t code : {TF_CUDA_INDEX_U16, TF_CUDA_INDEX_BITMAP}) {
    tf_cuda_delta stored{};
    stored.starts = device.starts.on_device();
    stored.index = code == TF_CUDA_INDEX_U16 ? static_cast<const void*>(device.positions.on_device())
                                             : device.bits.on_device();
    stored.values = device.values.on_device();
    stored.kept = delta.starts.back();
    stored.start_bytes = 8;
    stored.index_code = code;
    tf_cuda_scatter_job scatter{};
    scatter.dense = dense.on_device();
    scatter.elements = CheckCase::kElements;
    scatter.item_bytes = static_cast<uint32_t>(check.item);
    scatter.delta = stored;
    scatter.refused = refused.on_device();
    check.lane.Copy(scatter.dense, check.merged.on_device(), dense.host.size());
    check.lane.Launch("checking the scatter", check.lane.cuda().scatter, scatter);
    check.Expect("scatter", scatter.dense, dense.host.data(), dense.host.size());

    // Entering from θ* gives the same tensor and leaves θ* in the values; leaving gives both back.
    tf_cuda_swap_tensor tensor{};
    tensor.dense = scatter.dense;
    tensor.elements = scatter.elements;
    tensor.item_bytes = scatter.item_bytes;
    for (const bool enter : {true, false}) {
      (enter ? tensor.enter : tensor.leave) = stored;
      (enter ? tensor.leave : tensor.enter) = tf_cuda_delta{};
      const CheckedArray<tf_cuda_swap_tensor> list(check.lane, std::vector<tf_cuda_swap_tensor>{tensor});
      if (enter) check.lane.Copy(scatter.dense, check.merged.on_device(), dense.host.size());
      tf_cuda_swap_job swap{};
      swap.tensors = list.on_device();
      swap.tensor_count = 1;
      swap.blocks = CheckCase::kBlocks;
      swap.refused = scatter.refused;
      check.lane.Launch("checking the exchange", check.lane.cuda().swap, swap);
      const std::vector<uint8_t>& expected = enter ? dense.host : check.merged.host;
      check.Expect("exchange", scatter.dense, expected.data(), expected.size());
    }
    check.Expect("exchange", stored.values, delta.values.data(), delta.values.size());
  }
  check.Expect("scatter", refused.on_device(), &none, sizeof none);
}

}  // namespace

void CheckDelta(CheckCase& check) {
  const Delta delta = MakeDelta(check);
  const DeviceDelta device(check.lane, delta);
  CheckEmit(check, delta, device);
  CheckScatter(check, delta, device);
}

}  // namespace taskfold
