// What goes wrong on emulated GPUs: NaN and damaged deltas are the CPU's errors, faults of a device are typed
// ones that leave nothing half-used.
#include <algorithm>

#include "device_family.h"
#include "device_test_kit.h"
#include "ops/fingerprint.h"
#include "ops/select_entries.h"

namespace {

void ExpectSameError(const std::function<void(RunControl&)>& run, RunControl& cpu, RunControl& gpu,
                     const char* code, const char* what) {
  const Error expected = ErrorOf([&] { run(cpu); });
  const Error found = ErrorOf([&] { run(gpu); });
  CHECK(expected.code() == code, "%s: %s", what, expected.what());
  CHECK(found.code() == expected.code() && std::string(found.what()) == expected.what() &&
            found.tensor() == expected.tensor() && found.operand() == expected.operand() &&
            found.index() == expected.index() && found.hint() == expected.hint(),
        "%s: \"%s\" (%s) instead of \"%s\" (%s)", what, found.what(), found.operand().c_str(),
        expected.what(), expected.operand().c_str());
}

void NonFinite(const std::shared_ptr<DeviceSet>& set) {
  RunControl cpu(nullptr, 1), gpu(nullptr, 0, set);
  const auto poison = [](Bytes& bytes, size_t i, float value) { memcpy(bytes.data() + i * 4, &value, 4); };
  const float nan = BitsFloat(kCanonicalNaN32), infinity = BitsFloat(0x7F800000u);
  for (const int place : {0, 1, 2}) {  // base, a task, two infinities
    Family family(Dtype::kF32, Dtype::kF32, {Dtype::kF32, Dtype::kF32}, false);
    // In the second chunk of the long tensor, and again behind it.
    for (const size_t i : {size_t{66000}, size_t{100000}}) {
      if (place == 0) poison(family.base[1], i, nan);
      if (place == 1) poison(family.tasks[1][1], i, nan);
      if (place == 2) poison(family.tasks[1][0], i, infinity), poison(family.tasks[1][1], i, -infinity);
    }
    for (const bool with_selection : {true, false}) {
      const auto merge = [&](RunControl& control) {
        Selection selection({{100, family.elements()}, {100, family.elements()}});
        MergeTensors(family.MergeTensorsOf(), {0.3f, with_selection ? &selection : nullptr, false}, control);
      };
      ExpectSameError(merge, cpu, gpu, "NON_FINITE", "merge");
    }
    MergeTensors(family.MergeTensorsOf(), {0.3f, nullptr, true}, cpu);
    const auto count = [&](RunControl& control) {
      Selection selection({{100, family.elements()}, {100, family.elements()}});
      CountResiduals(family.Residuals(), selection, false, control);
    };
    ExpectSameError(count, cpu, gpu, "NON_FINITE", "count");
    const auto emit = [&](RunControl& control) {
      const auto file = File::OpenTemporaryBeside("/tmp/taskfold-device-ops");
      EmitDelta({{"w", family.sizes[1], family.dtype, family.Tasks(1)[1], Memory(family.merged[1])}},
                {{FloatBits(0.5f), 10}, IndexCode::kAuto, false}, file, 0, control);
    };
    ExpectSameError(emit, cpu, gpu, "NON_FINITE", "emit");
    for (const uint64_t k : {uint64_t{10}, uint64_t{100000}, uint64_t{family.sizes[1]}}) {
      const auto select = [&](RunControl& control) {
        SelectEntries(family.sizes[1], family.dtype, family.Tasks(1)[1], Memory(family.merged[1]), k, false,
                      control);
      };
      ExpectSameError(select, cpu, gpu, "NON_FINITE", "select");
    }
  }
}

void DamagedDeltas(const std::shared_ptr<DeviceSet>& set) {
  RunControl cpu(nullptr, 1), gpu(nullptr, 0, set);
  constexpr size_t kN = 140000;
  Bytes merged(kN * 4), out(kN * 4);
  std::vector<uint32_t> starts{0, 2, 3, 5};
  std::vector<uint16_t> index{5, 9, 4463, 0, 8927};
  Bytes value(5 * 4, 3), bitmap((kN + 7) / 8);
  for (const size_t at : {5u, 9u, 65536u + 4463, 131072u, 131072u + 8927}) bitmap[at / 8] |= 1 << (at % 8);
  const auto scatter = [&](IndexCode code, uint64_t kept, RunControl& control) {
    const auto bytes = [](auto& v) {
      return Region::OfMemory(reinterpret_cast<uint8_t*>(v.data()), v.size() * sizeof(v[0]));
    };
    const Region positions = code == IndexCode::kU16 ? bytes(index) : Memory(bitmap);
    ScatterTensors({{"w",
                     kN,
                     Dtype::kF32,
                     Memory(merged),
                     DeltaRegions{kept, code, bytes(starts), positions, Memory(value)},
                     {},
                     Memory(out)}},
                   control);
  };
  for (const IndexCode code : {IndexCode::kU16, IndexCode::kBitmap}) {
    scatter(code, 5, cpu);
    const Bytes expected = out;
    std::fill(out.begin(), out.end(), 1);
    scatter(code, 5, gpu);
    CHECK(out == expected, "decoded");
  }
  const auto refused = [&](const char* what, auto change, IndexCode code = IndexCode::kU16,
                           uint64_t kept = 5) {
    const auto saved = std::make_tuple(starts, index, value, bitmap);
    change();
    ExpectSameError([&](RunControl& control) { scatter(code, kept, control); }, cpu, gpu, "PACK_INVALID",
                    what);
    std::tie(starts, index, value, bitmap) = saved;
  };
  refused("behind the end", [&] { index[4] = 8928; });
  refused("twice", [&] { index[1] = 5; });
  refused("descending", [&] { std::swap(index[3], index[4]); });
  refused("a block over its entries", [&] { starts[1] = 4; });
  refused("not from 0", [&] { starts[0] = 1; });
  refused("not to the end", [&] { starts[3] = 4; });
  refused("few values", [&] { value.pop_back(); });
  refused("short index", [&] { index.pop_back(); });
  refused("short starts", [&] { starts.pop_back(); });
  refused(
      "more than elements", [] {}, IndexCode::kU16, kN + 1);
  refused(
      "mark too many", [&] { bitmap[100] |= 1; }, IndexCode::kBitmap);
  refused(
      "mark too few", [&] { bitmap[5 / 8] = 0; }, IndexCode::kBitmap);
  refused(
      "mark in the wrong block", [&] { starts[1] = 3; }, IndexCode::kBitmap);
}

void Limits(const std::shared_ptr<DeviceSet>& set) {
  RunControl gpu(nullptr, 0, set);
  Bytes values(400), out(400);
  MergeTensor tensor;
  tensor.name = "w";
  tensor.elements = 100;
  tensor.base.region = Memory(values);
  tensor.tasks.assign(TF_CUDA_MAX_TASKS, tensor.base);
  tensor.out = Memory(out);
  MergeTensors({tensor}, {1, nullptr, false}, gpu);
  MergeTensor more = tensor;
  more.tasks.push_back(tensor.tasks[0]);
  const Error error = ErrorOf([&] { MergeTensors({more}, {1, nullptr, false}, gpu); });
  CHECK(error.code() == "INVALID_ARGUMENT" && error.hint().find("--device cpu") != std::string::npos, "%s",
        error.what());
  const auto flag = std::make_shared<CancelFlag>();
  RunControl cancelled(flag, 0, set);
  uint64_t reported = 0;
  RunControl counted(nullptr, 0, set);
  counted.OnProgress([&](uint64_t bytes) { reported = bytes; });
  MergeTensors({tensor}, {1, nullptr, false}, counted);
  CHECK(reported == 100 * 4 * 65, "progress %llu", static_cast<unsigned long long>(reported));
  flag->cancelled = true;
  CHECK(ErrorOf([&] { FingerprintRegions({Memory(values)}, cancelled); }).code() == "CANCELLED", "cancelled");
}

/// Cancelled while chunks are under way.
void CancelsInTheMiddle(const std::shared_ptr<DeviceSet>& set) {
  Family family(Dtype::kF32, Dtype::kF32, {Dtype::kF32}, false);
  const auto flag = std::make_shared<CancelFlag>();
  RunControl control(flag, 2, set);
  control.OnProgress([&](uint64_t) { flag->cancelled = true; });
  const auto file = File::OpenTemporaryBeside("/tmp/taskfold-device-ops");
  std::vector<EmitTensor> tensors;
  for (int i = 0; i < 8; i++) {
    tensors.push_back({"w", family.sizes[1], family.dtype, family.Tasks(1)[0], Memory(family.merged[1])});
  }
  const Error error = ErrorOf([&] {
    EmitDelta(tensors, {{FloatBits(0.5f), 10}, IndexCode::kAuto, false}, file, 0, control);
  });
  CHECK(error.code() == "CANCELLED", "%s", error.what());
}

/// A runtime that fails at its n-th call: a typed error, and the CPU goes on.
void Faults() {
  Family family(Dtype::kBF16, Dtype::kF32, {Dtype::kBF16, Dtype::kF32}, false);
  family.sizes = {1000, 140000};  // of what there is
  for (size_t i = 0; i < 2; i++) {
    family.base[i].resize(family.sizes[i] * 4);
    family.merged[i].resize(family.sizes[i] * 2);
    for (size_t t = 0; t < 2; t++)
      family.tasks[i][t].resize(family.sizes[i] * ItemSize(family.task_dtypes[t]));
  }
  RunControl cpu(nullptr, 1);
  const Folded expected = Fold(family, 0.1, IndexCode::kAuto, false, true, cpu);
  unsigned failed = 0;
  for (const std::string call :
       {"cudaMalloc=2", "cudaHostAlloc=2", "cudaMemcpyAsync=700", "cudaMemsetAsync=700",
        "cudaStreamSynchronize=719", "launch=700", "launch=98"}) {
    for (const int from : {1, 4, 30}) {
      const auto set = OpenGpus(2);
      const auto copy = std::make_unique<Family>(family);
      RunControl gpu(nullptr, 0, set);
      try {
        const Emulated fault("TASKFOLD_EMULATED_ERROR", call + "@" + std::to_string(from));
        ExpectEqual(expected, Fold(*copy, 0.1, IndexCode::kAuto, false, true, gpu), call.c_str());
      } catch (const Error& error) {
        failed++;
        const std::string code = error.code();
        CHECK(code == (call.ends_with("=2") ? "OUT_OF_MEMORY" : "DEVICE_UNAVAILABLE"), "%s@%d: %s: %s",
              call.c_str(), from, code.c_str(), error.what());
        CHECK(std::string(error.what()).find("cuda:") != std::string::npos, "%s", error.what());
      }
    }
  }
  ExpectEqual(expected, Fold(family, 0.1, IndexCode::kAuto, false, true, cpu), "the CPU goes on");
  CHECK(failed >= 12, "only %u faults were seen", failed);
}

}  // namespace

int main() {
  for (int count = 1; count <= 2; count++) {
    const auto set = OpenGpus(count);
    NonFinite(set);
    DamagedDeltas(set);
    Limits(set);
    CancelsInTheMiddle(set);
  }
  Faults();
  std::printf("device_errors: passed\n");
  return 0;
}
