#define XXH_INLINE_ALL
#include "device/self_check.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>

#include "backend/registry.h"
#include "core/magnitude_key.h"
#include "device/self_check_case.h"

namespace taskfold {
namespace {

constexpr float kLambda = 0.3f;

/// Half of them from a few values, so that ties abound; the other half any bits: NaN, infinities, subnormals.
std::vector<uint8_t> SeededItems(Dtype dtype, uint32_t seed) {
  const size_t item = ItemSize(dtype);
  std::vector<uint8_t> bytes(CheckCase::kElements * item);
  std::vector<float> few(CheckCase::kElements);
  uint64_t state = (uint64_t{seed} + 1) * 0x9E3779B97F4A7C15u;
  const auto next = [&] {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  };
  for (float& value : few) value = (static_cast<float>(next() % 41) - 20) / 16;
  ActiveBackend().narrow(static_cast<int32_t>(dtype), few.size(), few.data(), bytes.data());
  for (size_t i = 0; i < CheckCase::kElements; i++) {
    const uint64_t bits = next();
    if (bits % 2 == 0) memcpy(bytes.data() + i * item, reinterpret_cast<const char*>(&bits) + 4, item);
  }
  return bytes;
}

/// What the CPU counts of one ranked tensor.
struct Counted {
  tf_cuda_tally tally{};
  std::vector<uint64_t> counts;
};
Counted CountOnCpu(const CheckCase& check, const uint8_t* merged, const uint8_t* values,
                   const tf_cuda_window& window) {
  Counted counted;
  counted.counts.resize(window.bins);
  std::vector<uint32_t> keys(65536);
  for (size_t b = 0; b < CheckCase::kBlocks; b++) {
    const size_t offset = b * 65536 * check.item;
    TfTally tally{};
    tally.keys = keys.data();
    ActiveBackend().tally(check.code, check.BlockSize(b), merged ? merged + offset : nullptr, values + offset,
                          {window.low, window.end}, &tally);
    counted.tally.above += tally.above;
    counted.tally.has_nan |= static_cast<uint64_t>(tally.has_nan != 0);
    for (uint32_t i = 0; i < tally.inside; i++) counted.counts[(keys[i] - window.low) >> window.shift]++;
  }
  return counted;
}

/// A window with many keys on both sides and inside, and its counters on the device.
struct CheckWindow {
  CheckedArray<tf_cuda_tally> tally;
  CheckedArray<uint64_t> counts;
  tf_cuda_window window{};

  explicit CheckWindow(Lane& lane) : tally(lane, 1), counts(lane, kBins) {
    window.low = FloatBits(0.25f);
    window.end = window.low + (uint32_t{kBins} << kShift);
    window.shift = kShift;
    window.bins = kBins;
    window.counts = counts.on_device();
    window.tally = tally.on_device();
  }
  void Expect(const char* kernel, CheckCase& check, const Counted& counted) {
    tf_cuda_tally seen{};
    check.lane.Download(&seen, tally.on_device(), sizeof seen);
    if (seen.above != counted.tally.above || (seen.has_nan != 0) != (counted.tally.has_nan != 0)) {
      check.Refuse(kernel);
    }
    check.Expect(kernel, counts.on_device(), counted.counts.data(), kBins * sizeof(uint64_t));
  }

 private:
  static constexpr uint32_t kBins = 1024;
  static constexpr uint32_t kShift = 14;
};

}  // namespace

CheckCase::CheckCase(Lane& on, Dtype of)
    : lane(on),
      dtype(of),
      code(static_cast<int32_t>(of)),
      item(ItemSize(of)),
      base(on, SeededItems(of, 0)),
      merged(on, kElements * ItemSize(of)) {
  for (uint32_t t = 0; t < kTasks; t++) tasks.emplace_back(on, SeededItems(of, t + 1));
}

void CheckCase::Refuse(const char* kernel) const {
  tf_cuda_device info{};
  char error[64];
  lane.cuda().device_info(lane.device(), &info, error, sizeof error);
  throw Error("DEVICE_UNAVAILABLE", "cuda:" + std::to_string(lane.device()) + " (" + info.name +
                                        ") computes other bits than the CPU: " + kernel + " of " +
                                        DtypeName(dtype))
      .Hint("use --device cpu, and report this GPU and its driver's version");
}

void CheckCase::Expect(const char* kernel, const void* device, const void* expected, size_t bytes) {
  bool equal = true;
  lane.Download(device, bytes, [&](const uint8_t* part, uint64_t at, size_t length) {
    equal &= memcmp(part, static_cast<const uint8_t*>(expected) + at, length) == 0;
  });
  if (!equal) Refuse(kernel);
}

void CheckMerge(CheckCase& check) {
  for (size_t b = 0; b < CheckCase::kBlocks; b++) {
    const size_t offset = b * 65536 * check.item;
    const void* tasks[CheckCase::kTasks];
    for (size_t t = 0; t < CheckCase::kTasks; t++) tasks[t] = check.tasks[t].host.data() + offset;
    ActiveBackend().merge(check.code, check.BlockSize(b), check.base.host.data() + offset, tasks,
                          CheckCase::kTasks, kLambda, check.merged.host.data() + offset);
  }
  std::vector<CheckWindow> windows;
  std::vector<tf_cuda_window> shapes;
  std::vector<const void*> tasks;
  for (const CheckedBytes& task : check.tasks) {
    windows.emplace_back(check.lane);
    shapes.push_back(windows.back().window);
    tasks.push_back(task.on_device());
  }
  tf_cuda_merge_job merge{};
  merge.dtype = check.code;
  merge.task_count = CheckCase::kTasks;
  merge.elements = CheckCase::kElements;
  merge.base = check.base.on_device();
  merge.tasks = tasks.data();
  merge.lambda = kLambda;
  merge.merged = check.merged.on_device();
  merge.windows = shapes.data();
  check.lane.Launch("checking the merge", check.lane.cuda().merge, merge);
  check.Expect("merge", merge.merged, check.merged.host.data(), check.merged.host.size());
  for (size_t t = 0; t < CheckCase::kTasks; t++) {
    windows[t].Expect("merge", check,
                      CountOnCpu(check, check.merged.host.data(), check.tasks[t].host.data(), shapes[t]));
  }
  // Once against θ*, once the task's own values.
  for (const bool residual : {true, false}) {
    CheckWindow window(check.lane);
    tf_cuda_count_job count{};
    count.dtype = check.code;
    count.elements = CheckCase::kElements;
    count.merged = residual ? check.merged.on_device() : nullptr;
    count.task = check.tasks[0].on_device();
    count.window = window.window;
    check.lane.Launch("checking the count", check.lane.cuda().count, count);
    window.Expect("count", check,
                  CountOnCpu(check, residual ? check.merged.host.data() : nullptr, check.tasks[0].host.data(),
                             count.window));
  }
}

void CheckConversions(CheckCase& check) {
  const TfBackend& backend = ActiveBackend();
  std::vector<float> wide(CheckCase::kElements), back(CheckCase::kElements);
  backend.widen(check.code, wide.size(), check.base.host.data(), wide.data());
  for (int32_t to = 0; to < kDtypeCount; to++) {
    CheckedBytes target(check.lane, CheckCase::kElements * ItemSize(static_cast<Dtype>(to)));
    CheckedArray<uint64_t> inexact(check.lane, 1);
    backend.narrow(to, wide.size(), wide.data(), target.host.data());
    backend.widen(to, wide.size(), target.host.data(), back.data());
    for (size_t i = 0; i < wide.size(); i++) {
      inexact.host[0] += !(back[i] == wide[i] || (std::isnan(back[i]) && std::isnan(wide[i])));
    }
    tf_cuda_convert_job job{};
    job.from_dtype = check.code;
    job.to_dtype = to;
    job.elements = CheckCase::kElements;
    job.from = check.base.on_device();
    job.to = target.on_device();
    job.inexact = inexact.on_device();
    check.lane.Launch("checking conversions", check.lane.cuda().convert, job);
    check.Expect("conversion", job.to, target.host.data(), target.host.size());
    check.Expect("conversion", job.inexact, inexact.host.data(), sizeof(uint64_t));
  }
}

void CheckDigests(CheckCase& check) {
  const std::vector<uint8_t>& bytes = check.base.host;
  std::vector<uint8_t> expected;
  for (size_t at = 0; at < bytes.size(); at += TF_CUDA_LEAF) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(
        &canonical, XXH3_128bits(bytes.data() + at, std::min<size_t>(TF_CUDA_LEAF, bytes.size() - at)));
    expected.insert(expected.end(), canonical.digest, canonical.digest + sizeof canonical.digest);
  }
  CheckedBytes digests(check.lane, expected.size());
  tf_cuda_digest_job job{};
  job.bytes = check.base.on_device();
  job.length = bytes.size();
  job.digests = digests.on_device();
  check.lane.Launch("checking fingerprints", check.lane.cuda().digest, job);
  check.Expect("fingerprint", job.digests, expected.data(), expected.size());
}

void SelfCheck(Lane& lane) {
  for (int32_t dtype = 0; dtype < kDtypeCount; dtype++) {
    CheckCase check(lane, static_cast<Dtype>(dtype));
    CheckMerge(check);
    CheckDelta(check);
    CheckConversions(check);
    CheckDigests(check);
  }
}

}  // namespace taskfold
