// Codec step from end to end: what StepEncoder writes is what OpenStepTask reads, and an encoder that is used
// in a wrong order says so.
#include <cmath>

#include "step_kit.h"

using namespace taskfold;

namespace {

/// Compares what was decoded with the quantiser of docs/FORMAT.md, item by item.
void CheckRoundTrip(const std::vector<Pair>& pairs, float step, Engine& random) {
  Stream stream;
  const CodedResult result = EncodeAll(pairs, step, random, &stream);
  stream = {Padded(stream.tables), Padded(stream.directory), Padded(stream.codes)};
  std::vector<Bytes> decoded;
  std::string why;
  CHECK(Decode(pairs, step, stream, &decoded, &why), "%s", why.c_str());
  const StepQuantizer quantizer(step, 0.65f);
  uint64_t kept = 0;
  double error = 0;
  for (size_t t = 0; t < pairs.size(); t++) {
    const auto& [shape, merged, task] = pairs[t];
    for (uint64_t i = 0; i < shape.elements(); i++) {
      const float star = Widened(merged, shape.dtype, i), own = Widened(task, shape.dtype, i);
      int32_t q = own == star ? 0 : quantizer(own - star);
      const auto begin = merged.begin() + static_cast<std::ptrdiff_t>(i * ItemSize(shape.dtype));
      const Bytes before(begin, begin + static_cast<std::ptrdiff_t>(ItemSize(shape.dtype)));
      Bytes expected = before;
      // The largest code whose item is a number.
      for (; q != 0; q += q < 0 ? 1 : -1) {
        const float size = static_cast<float>(q < 0 ? -q : q) * step;
        Put(&expected, shape.dtype, 0, star + (q < 0 ? -size : size));
        if (std::isfinite(Widened(expected, shape.dtype, 0))) break;
        expected = before;
      }
      CHECK(memcmp(expected.data(), Item(&decoded[t], shape.dtype, i), expected.size()) == 0,
            "%s element %llu, q = %d", shape.name.c_str(), static_cast<unsigned long long>(i), q);
      const double off = static_cast<double>(own) - Widened(decoded[t], shape.dtype, i);
      error += off * off;
      kept += q != 0;
    }
  }
  CHECK(kept == result.kept, "%llu kept", static_cast<unsigned long long>(kept));
  CHECK(std::fabs(error - result.error_squared) <= 1e-5 * error + 1e-12, "%g, not %g", result.error_squared,
        error);
}

constexpr Dtype kDtypes[] = {Dtype::kF32, Dtype::kF16, Dtype::kBF16, Dtype::kF8E4M3, Dtype::kF8E5M2};

void RoundTrips() {
  Engine random(1);
  for (const uint64_t n : {32767, 32768, 65535, 65536, 65537}) {
    for (const unsigned sparsity : {0u, 1u, 20u}) {
      std::vector<Pair> pairs;
      pairs.push_back(MakePair("w", kDtypes[random() % 3], 1, n, 0.2f, sparsity, random));
      CheckRoundTrip(pairs, 0.1f, random);
    }
  }
  for (int round = 0; round < 40; round++) {
    // Runs of small tensors, interrupted by larger ones; some without a single entry.
    std::vector<Pair> pairs;
    const size_t count = 1 + random() % 12;
    for (size_t t = 0; t < count; t++) {
      const uint64_t rows = random() % 3 == 0 ? 1 : 1 + random() % 9;
      const uint64_t columns =
          random() % 9 == 0 ? 32760 + random() % 40 : 1 + random() % (random() % 2 ? 9 : 2000);
      pairs.push_back(MakePair("t" + std::to_string(t), kDtypes[random() % 5], rows, columns,
                               random() % 2 ? 0.1f : 3.0f, static_cast<unsigned>(random() % 5 * 7), random));
    }
    CheckRoundTrip(pairs, random() % 2 ? 0.05f : 0.5f, random);
  }
  CheckRoundTrip({}, 1, random);
  // The least and a huge step.
  std::vector<Pair> pairs;
  pairs.push_back(MakePair("w", Dtype::kF32, 1, 300, 1, 2, random));
  for (const float step : {1e-45f, 1e-30f, 1e30f, 3e38f}) CheckRoundTrip(pairs, step, random);
}

template <class F>
void Refused(const char* what, const char* code, const F& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.code() == code, "%s: %s: %s", what, error.code().c_str(), error.what());
    return;
  }
  CHECK(false, "%s was accepted", what);
}

/// Calls in a wrong order, other tensors than announced, values that change between the passes.
void EncoderOrder() {
  Engine random(4);
  std::vector<Pair> pairs;
  pairs.push_back(MakePair("a", Dtype::kF32, 1, 50, 1, 2, random));
  pairs.push_back(MakePair("b", Dtype::kF16, 1, 70, 1, 0, random));
  RunControl control(nullptr, 1);
  const auto make = [&] { return StepEncoder(0.1f, 0.65f, Shapes(pairs), CodesFile(), 0); };
  const auto all = Batch(pairs, 0, 2);
  constexpr const char* kArgument = "INVALID_ARGUMENT";
  {
    StepEncoder encoder = make();
    Refused("encode before count", kArgument, [&] { encoder.Encode(all, control); });
    Refused("prepare before count", kArgument, [&] { encoder.Prepare(); });
    Refused("finish before count", kArgument, [&] { encoder.Finish(); });
    Refused("the second tensor first", kArgument, [&] { encoder.Count(Batch(pairs, 1, 2), control); });
    encoder.Count(Batch(pairs, 0, 1), control);
    Refused("prepare after half", kArgument, [&] { encoder.Prepare(); });
    Refused("the first tensor again", kArgument, [&] { encoder.Count(Batch(pairs, 0, 1), control); });
    encoder.Count(Batch(pairs, 1, 2), control);
    Refused("a tensor too many", kArgument, [&] { encoder.Count(Batch(pairs, 0, 1), control); });
    encoder.Prepare();
    Refused("prepare again", kArgument, [&] { encoder.Prepare(); });
    Refused("count after prepare", kArgument, [&] { encoder.Count(all, control); });
    Refused("finish before encode", kArgument, [&] { encoder.Finish(); });
    auto other = all;
    other[1].shape.columns = 71;
    Refused("another shape", kArgument, [&] { encoder.Encode(other, control); });
    other = all;
    other[1].merged = Memory(pairs[0].merged);
    Refused("an operand of another size", kArgument, [&] { encoder.Encode(other, control); });
    encoder.Encode(all, control);
    encoder.Finish();
    Refused("finish again", kArgument, [&] { encoder.Finish(); });
    Refused("encode after finish", kArgument, [&] { encoder.Encode({}, control); });
  }
  {
    StepEncoder encoder = make();
    const auto flag = std::make_shared<CancelFlag>();
    flag->cancelled = true;
    RunControl cancelled(flag, 1);
    Refused("a cancelled count", "CANCELLED", [&] { encoder.Count(all, cancelled); });
  }
  {
    StepEncoder encoder = make();
    std::vector<Pair> bad = pairs;
    Put(&bad[1].task, Dtype::kF16, 3, std::nanf(""));
    Refused("a NaN", "NON_FINITE", [&] { encoder.Count(Batch(bad, 0, 2), control); });
    Refused("count after a failure", kArgument, [&] { encoder.Count(all, control); });
    Refused("prepare after a failure", kArgument, [&] { encoder.Prepare(); });
  }
  {
    StepEncoder encoder = make();
    encoder.Count(all, control);
    encoder.Prepare();
    std::vector<Pair> changed = pairs;
    Put(&changed[0].task, Dtype::kF32, 7, 4000);
    Refused("other values in the second pass", "INPUT_CHANGED",
            [&] { encoder.Encode(Batch(changed, 0, 2), control); });
    Refused("finish after a failure", kArgument, [&] { encoder.Finish(); });
  }
}

}  // namespace

int main() {
  EncoderOrder();
  RoundTrips();
  return 0;
}
