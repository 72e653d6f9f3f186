// Every elementwise op on one and two emulated GPUs, in chunks of one leaf, against the CPU: the same bytes,
// thresholds, fingerprints and entries.
#include <chrono>
#include <thread>

#include "device_family.h"
#include "device_test_kit.h"
#include "ops/convert_region.h"
#include "ops/fingerprint.h"
#include "ops/select_entries.h"

using namespace taskfold;

namespace {

void Folds(const std::shared_ptr<DeviceSet>& set, const std::vector<size_t>& dtypes, const char* where) {
  RunControl cpu(nullptr, 1), gpu(nullptr, 0, set);
  const std::vector<Dtype> all{Dtype::kF32, Dtype::kF16, Dtype::kBF16, Dtype::kF8E4M3, Dtype::kF8E5M2};
  for (const size_t d : dtypes) {
    for (const bool mixed : {false, true}) {
      const Dtype other = all[(d + 1 + set->devices().size()) % all.size()];
      Family family(all[d], mixed ? other : all[d], {all[d], mixed ? other : all[d]}, mixed);
      const IndexCode index = mixed ? IndexCode::kU16 : d % 2 == 0 ? IndexCode::kAuto : IndexCode::kBitmap;
      const double density = mixed ? 0.4 : 0.05;
      const std::string what = std::string(where) + " " + DtypeName(all[d]) + (mixed ? " mixed" : "");
      const Folded expected = Fold(family, density, index, mixed, !mixed, cpu);
      ExpectEqual(expected, Fold(family, density, index, mixed, !mixed, gpu), what.c_str());
    }
  }
}

void WithoutSelection(const std::shared_ptr<DeviceSet>& set) {
  RunControl cpu(nullptr, 1), gpu(nullptr, 0, set);
  Family family(Dtype::kBF16, Dtype::kBF16, {Dtype::kBF16}, false);
  std::vector<MergeTensor> tensors = family.MergeTensorsOf();
  const MergeFingerprints expected = MergeTensors(tensors, {0.7f, nullptr, false}, cpu);
  for (MergeTensor& tensor : tensors) tensor.out.reset();
  CHECK(MergeTensors(tensors, {0.7f, nullptr, false}, gpu).merged == expected.merged, "fingerprints only");
  CHECK(MergeTensors({}, {0.7f, nullptr, false}, gpu).merged.empty(), "nothing");
  // More counters than a lane of this little budget holds: done on the CPU.
  Selection many(std::vector<Selection::Goal>(6, {1, uint64_t{1} << 40}));
  for (MergeTensor& tensor : tensors) tensor.tasks.resize(6, tensor.tasks[0]);
  Selection same(std::vector<Selection::Goal>(6, {1, uint64_t{1} << 40}));
  CHECK(MergeTensors(tensors, {0.7f, &many, false}, gpu).merged ==
            MergeTensors(tensors, {0.7f, &same, false}, cpu).merged,
        "many counters");
  CHECK(many.Snapshot() == same.Snapshot(), "counts");
}

void Regions(const std::shared_ptr<DeviceSet>& set) {
  RunControl cpu(nullptr, 1), gpu(nullptr, 0, set);
  for (const size_t n : {size_t{0}, size_t{1}, size_t{263000}}) {
    for (int from = 0; from < kDtypeCount; from++) {
      const auto source = static_cast<Dtype>(from), target = static_cast<Dtype>((from * 3 + 1) % kDtypeCount);
      Bytes values = Numbers(source, n, n + static_cast<size_t>(from), true);
      Bytes expected(n * ItemSize(target)), converted(expected.size(), 1);
      const uint64_t changed = ConvertRegion(n, {Memory(values), source}, {Memory(expected), target}, cpu);
      CHECK(ConvertRegion(n, {Memory(values), source}, {Memory(converted), target}, gpu) == changed,
            "inexact");
      CHECK(converted == expected, "converted from %s", DtypeName(source));
    }
  }
  std::vector<Bytes> bytes;
  std::vector<Region> regions;
  for (const size_t length : {0, 1, 262143, 262144, 262145, 1500000}) {
    bytes.push_back(Numbers(Dtype::kF8E5M2, length, length, true));
  }
  for (Bytes& each : bytes) regions.push_back(Memory(each));
  CHECK(FingerprintRegions(regions, gpu) == FingerprintRegions(regions, cpu), "fingerprints");
}

void Selects(const std::shared_ptr<DeviceSet>& set) {
  RunControl cpu(nullptr, 1), gpu(nullptr, 0, set);
  for (const size_t n : {size_t{0}, size_t{1}, size_t{140001}}) {
    for (const double density : {0.0, 0.02, 0.5, 1.0}) {
      for (const bool residual : {false, true}) {
        Bytes values = Numbers(Dtype::kF16, n, n, true), merged = Numbers(Dtype::kBF16, n, n + 1, true);
        const auto k = static_cast<uint64_t>(density * static_cast<double>(n));
        const auto region = residual ? std::optional<Region>(Memory(merged)) : std::nullopt;
        const auto select = [&](RunControl& control) {
          return SelectEntries(n, Dtype::kBF16, {Memory(values), Dtype::kF16}, region, k, true, control);
        };
        const SelectedEntries expected = select(cpu), found = select(gpu);
        CHECK(found.positions == expected.positions && found.values == expected.values &&
                  found.threshold.key == expected.threshold.key &&
                  found.threshold.ties == expected.threshold.ties,
              "n %zu density %f residual %d", n, density, residual);
      }
    }
  }
  // Larger than a lane: the CPU does it.
  const size_t n = size_t{9} << 20;
  Bytes values(n);
  std::vector<float> one(1);
  values[n / 2] = 0x38;
  const SelectedEntries found =
      SelectEntries(n, Dtype::kF8E4M3, {Memory(values), Dtype::kF8E4M3}, std::nullopt, 1, false, gpu);
  CHECK(found.positions == std::vector<uint32_t>{n / 2}, "too large for a lane");
}

/// Jobs that share the lanes of one set.
void AtOnce(const std::shared_ptr<DeviceSet>& set) {
  RunControl cpu(nullptr, 1);
  Family family(Dtype::kBF16, Dtype::kBF16, {Dtype::kBF16, Dtype::kF32}, false);
  const Folded expected = Fold(family, 0.1, IndexCode::kAuto, false, true, cpu);
  std::vector<std::thread> jobs;
  for (int j = 0; j < 3; j++) {
    jobs.emplace_back([&] {
      Family own(Dtype::kBF16, Dtype::kBF16, {Dtype::kBF16, Dtype::kF32}, false);
      RunControl gpu(nullptr, 0, set);
      ExpectEqual(expected, Fold(own, 0.1, IndexCode::kAuto, false, true, gpu), "at once");
    });
  }
  for (std::thread& job : jobs) job.join();
}

}  // namespace

int main() {
  for (int count = 1; count <= 2; count++) {
    const Emulated order("TASKFOLD_EMULATED_ORDER", std::to_string(count));
    const auto set = OpenGpus(count);
    const auto step = [&](const char* name, const auto& run) {
      const auto start = std::chrono::steady_clock::now();
      run();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      std::printf("%d GPUs: %s: %.2f s\n", count, name, took.count());
      std::fflush(stdout);
    };
    step("folds", [&] {
      if (count == 1) {
        Folds(set, {0, 1, 2, 3, 4}, "one GPU");
      } else {
        Folds(set, {2, 3}, "two GPUs");
      }
    });
    step("without selection", [&] { WithoutSelection(set); });
    step("regions", [&] { Regions(set); });
    step("selects", [&] { Selects(set); });
    step("at once", [&] { AtOnce(set); });
  }
  // In chunks of several leaves.
  Folds(OpenGpus(1, uint64_t{64} << 20, uint64_t{8} << 20), {0, 1}, "long chunks");
  std::printf("device_ops: passed\n");
  return 0;
}
