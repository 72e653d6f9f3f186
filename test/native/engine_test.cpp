// The engine without JavaScript, for the sanitizers: merge, select, emit, scatter and compare through files
// and memory, damaged deltas, cancellation and errors from many threads.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "check.h"
#include "core/thread_pool.h"
#include "ops/compare_tensors.h"
#include "ops/copy_regions.h"
#include "ops/delta_scatter.h"
#include "ops/emit_delta.h"
#include "ops/fingerprint.h"
#include "ops/select_entries.h"
#include "ops/task_vector.h"

using namespace taskfold;

namespace {

Region Memory(std::vector<float>& values) {
  return Region::OfMemory(reinterpret_cast<uint8_t*>(values.data()), values.size() * 4);
}

Region Range(const std::shared_ptr<File>& file, const StoredArray& array) {
  return Region::OfFile(file, array.offset, array.length);
}

template <class F>
void ExpectError(const char* code, const F& run) {
  try {
    run();
  } catch (const Error& error) {
    CHECK(error.code() == code, "%s instead of %s: %s", error.code().c_str(), code, error.what());
    return;
  }
  CHECK(false, "no %s", code);
}

/// Values from a small set, so that ties abound.
std::vector<float> RandomValues(size_t n, Random& random) {
  std::vector<float> values(n);
  for (float& x : values) x = (static_cast<float>(random.Below(40)) - 20) / 8;
  return values;
}

void RoundTrip(size_t n, double density, unsigned threads, IndexCode index, Random& random,
               ValueCode values = ValueCode::kPlain) {
  RunControl control(nullptr, threads);
  std::vector<float> base = RandomValues(n, random), task = RandomValues(n, random),
                     other = RandomValues(n, random);
  std::vector<float> merged(n), restored(n, 7);
  const auto k = static_cast<uint64_t>(density * static_cast<double>(n) + 0.5);
  Selection selection({{k, n}, {k, n}});
  const std::vector<MergeTensor> tensors{{"w",
                                          n,
                                          Dtype::kF32,
                                          {Memory(base), Dtype::kF32},
                                          {{Memory(task), Dtype::kF32}, {Memory(other), Dtype::kF32}},
                                          Memory(merged)}};
  SampleResiduals(tensors, 0.3f, selection, control);
  const MergeFingerprints fingerprints = MergeTensors(tensors, {0.3f, &selection, false}, control);
  CHECK(fingerprints.merged[0] == FingerprintRegions({Memory(merged)}, control)[0], "fingerprint");
  while (!selection.Advance()) {
    CountResiduals({{"w", n, Dtype::kF32, Memory(merged), tensors[0].tasks}}, selection, false, control);
  }
  // The obvious way: sort by key, then position.
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const uint32_t key_a = MagnitudeKey(task[a] - merged[a]), key_b = MagnitudeKey(task[b] - merged[b]);
    return key_a != key_b ? key_a > key_b : a < b;
  });
  std::vector<float> expected = merged;
  for (size_t i = 0; i < k; i++) expected[order[i]] = task[order[i]];

  const std::shared_ptr<File> file = File::OpenTemporaryBeside("/tmp/taskfold-engine-test");
  const EmitResult emitted = EmitDelta({{"w", n, Dtype::kF32, {Memory(task), Dtype::kF32}, Memory(merged)}},
                                       {selection.Thresholds()[0], index, false, values}, file, 64, control);
  const EmittedTensor& stored = emitted.tensors[0];
  CHECK(stored.kept == k, "kept %llu of k %llu", static_cast<unsigned long long>(stored.kept),
        static_cast<unsigned long long>(k));
  std::optional<DeltaRegions> delta;
  if (stored.kept > 0) {
    delta = DeltaRegions{stored.kept,
                         stored.index,
                         Range(file, stored.blocks),
                         Range(file, stored.index_bytes),
                         Range(file, stored.value),
                         stored.values};
  }
  ScatterTensors({{"w", n, Dtype::kF32, Memory(merged), delta, {}, Memory(restored)}}, control);
  CHECK(n == 0 || memcmp(restored.data(), expected.data(), n * 4) == 0, "n %zu density %f threads %u", n,
        density, threads);
  const auto difference = CompareTensors(
      {{"w", n, Dtype::kF32, Memory(merged), delta, {}, {Memory(task), Dtype::kF32}}}, control)[0];
  CHECK(difference.kept_differing == 0, "kept entries are the task's own");
  const SelectedEntries selected =
      SelectEntries(n, Dtype::kF32, {Memory(task), Dtype::kF32}, Memory(merged), k, false, control);
  CHECK(selected.positions.size() == k, "selected");
  std::vector<uint32_t> best(order.begin(), order.begin() + static_cast<ptrdiff_t>(k));
  std::sort(best.begin(), best.end());
  CHECK(selected.positions == best, "positions");
}

void DamagedDeltas() {
  RunControl control(nullptr, 2);
  std::vector<float> merged(70000), out(70000);
  std::vector<uint32_t> blocks{0, 2, 3};
  std::vector<uint16_t> index{5, 9, 4463};
  std::vector<float> value{1, 2, 3};
  const auto scatter = [&](uint64_t kept, IndexCode code) {
    const auto bytes = [](auto& v) {
      return Region::OfMemory(reinterpret_cast<uint8_t*>(v.data()), v.size() * sizeof(v[0]));
    };
    ScatterTensors({{"w",
                     70000,
                     Dtype::kF32,
                     Memory(merged),
                     DeltaRegions{kept, code, bytes(blocks), bytes(index), bytes(value)},
                     {},
                     Memory(out)}},
                   control);
  };
  scatter(3, IndexCode::kU16);
  CHECK(out[5] == 1 && out[9] == 2 && out[65536 + 4463] == 3, "decoded");
  const auto refused = [&](auto change, IndexCode code = IndexCode::kU16, uint64_t kept = 3) {
    const auto saved = std::make_tuple(blocks, index, value);
    change();
    ExpectError("PACK_INVALID", [&] { scatter(kept, code); });
    std::tie(blocks, index, value) = saved;
  };
  refused([&] { index[2] = 4464; });
  refused([&] { index[1] = 5; });
  refused([&] { blocks[1] = 4; });
  refused([&] { blocks[0] = 1; });
  refused([&] { blocks[2] = 2; });
  refused([&] { value.pop_back(); });
  refused([&] { index.pop_back(); });
  refused([&] { blocks.pop_back(); });
  refused([] {}, IndexCode::kU16, 70001);
  refused([] {}, IndexCode::kBitmap);
  refused([&] { index.assign(4376, 0); }, IndexCode::kBitmap);
}

void ErrorsAndCancel() {
  const auto flag = std::make_shared<CancelFlag>();
  RunControl control(flag, 4);
  for (int round = 0; round < 50; round++) {
    try {
      ParallelFor(1000, 4, [&](size_t item, unsigned) {
        if (item % 97 == 13) throw Error("IO_ERROR", std::to_string(item));
      });
      CHECK(false, "no error");
    } catch (const Error& error) {
      CHECK(std::string(error.what()) == "13", "the lowest item's error is reported, not %s", error.what());
    }
  }
  std::vector<float> base(300000, 1), task(300000, 2);
  task[123456] = std::numeric_limits<float>::quiet_NaN();
  task[200000] = task[123456];
  const std::vector<MergeTensor> tensors{
      {"w", 300000, Dtype::kF32, {Memory(base), Dtype::kF32}, {{Memory(task), Dtype::kF32}}, std::nullopt}};
  try {
    MergeTensors(tensors, {0.5f, nullptr, false}, control);
    CHECK(false, "no error");
  } catch (const Error& error) {
    CHECK(error.code() == "NON_FINITE" && error.index() == 123456 && error.operand() == "0", "%s",
          error.what());
  }
  flag->cancelled = true;
  ExpectError("CANCELLED", [&] { MergeTensors(tensors, {0.5f, nullptr, true}, control); });
  RunControl free(nullptr, 2);
  const std::shared_ptr<File> file = File::OpenTemporaryBeside("/tmp/taskfold-engine-test");
  ExpectError("FILE_TRUNCATED", [&] {
    CopyRegions({{"w", Region::OfFile(file, 0, 4000),
                  Region::OfMemory(reinterpret_cast<uint8_t*>(base.data()), 4000)}},
                free);
  });
  ExpectError("NOT_FOUND", [] { File::Open("/nowhere/at/all", File::Mode::kRead); });
}

void Snapshots() {
  Selection selection({{10, 100}, {0, 100}, {100, 100}});
  const std::vector<uint8_t> bytes = selection.Snapshot();
  CHECK(Selection::Restore(bytes.data(), bytes.size())->Snapshot() == bytes, "snapshot");
  for (size_t length = 0; length < bytes.size(); length += 1 + length / 50) {
    ExpectError("INVALID_ARGUMENT", [&] { Selection::Restore(bytes.data(), length); });
  }
}

}  // namespace

int main() {
  Random random(7);
  for (const size_t n : {0ul, 1ul, 100ul, 65536ul, 65537ul, 200001ul}) {
    for (const double density : {0.0, 0.01, 0.2, 0.3, 1.0}) {
      for (const unsigned threads : {1u, 3u}) {
        RoundTrip(n, density, threads, IndexCode::kAuto, random);
        RoundTrip(n, density, threads, random.Below(2) ? IndexCode::kU16 : IndexCode::kBitmap, random);
        RoundTrip(n, density, threads, IndexCode::kAuto, random, ValueCode::kAuto);
        RoundTrip(n, density, threads, IndexCode::kRice, random, ValueCode::kCoded);
      }
    }
  }
  DamagedDeltas();
  ErrorsAndCancel();
  Snapshots();
  std::puts("ok");
}
