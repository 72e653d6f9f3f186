// Codec step from end to end: what StepEncoder writes is what OpenStepTask reads, and nothing that a damaged
// file holds makes it crash, hang, allocate without bounds or leave its arrays (run under ASan and UBSan).
#include <cmath>
#include <cstring>
#include <random>

#include "check.h"
#include "core/block_scatter.h"
#include "core/code_table.h"
#include "core/float_convert.h"
#include "ops/remainder.h"
#include "ops/step_encoder.h"

using namespace taskfold;

namespace {

using Bytes = std::vector<uint8_t>;
using Engine = std::mt19937_64;

/// One tensor's θ* and θt, of one dtype.
struct Pair {
  CodedTensor shape;
  Bytes merged, task;
};

/// A stream as stored, without padding.
struct Stream {
  Bytes tables, directory, codes;
};

uint8_t* Item(Bytes* bytes, Dtype dtype, uint64_t at) { return bytes->data() + at * ItemSize(dtype); }

float Widened(const Bytes& bytes, Dtype dtype, uint64_t at) {
  float value = 0;
  VisitDtype(dtype, [&]<Dtype kDtype>() {
    typename Storage<kDtype>::Raw raw;
    memcpy(&raw, bytes.data() + at * sizeof raw, sizeof raw);
    value = Storage<kDtype>::Widen(raw);
  });
  return value;
}

void Put(Bytes* bytes, Dtype dtype, uint64_t at, float value) {
  VisitDtype(dtype, [&]<Dtype kDtype>() {
    const typename Storage<kDtype>::Raw raw = Storage<kDtype>::Round(value);
    memcpy(Item(bytes, dtype, at), &raw, sizeof raw);
  });
}

/// Residuals of `scale` for about every `sparsity`-th element, now and then a large one; 0: none differs.
Pair MakePair(std::string name, Dtype dtype, uint64_t rows, uint64_t columns, float scale, unsigned sparsity,
              Engine& random) {
  Pair pair;
  pair.shape = {std::move(name), dtype, rows, columns};
  const uint64_t n = pair.shape.elements();
  pair.merged.resize(n * ItemSize(dtype));
  pair.task.resize(n * ItemSize(dtype));
  std::normal_distribution<float> normal(0, 1);
  for (uint64_t i = 0; i < n; i++) {
    const float star = normal(random);
    float u = sparsity != 0 && random() % sparsity == 0 ? normal(random) * scale : 0;
    if (u != 0 && random() % 200 == 0) u *= 300;
    Put(&pair.merged, dtype, i, star);
    Put(&pair.task, dtype, i, Widened(pair.merged, dtype, i) + u);
  }
  return pair;
}

Region Memory(const Bytes& bytes) {
  return Region::OfMemory(const_cast<uint8_t*>(bytes.data()), bytes.size());
}

std::vector<CodedTensor> Shapes(const std::vector<Pair>& pairs) {
  std::vector<CodedTensor> shapes;
  for (const Pair& pair : pairs) shapes.push_back(pair.shape);
  return shapes;
}

std::vector<CodecTensor> Batch(const std::vector<Pair>& pairs, size_t begin, size_t end) {
  std::vector<CodecTensor> batch;
  for (size_t i = begin; i < end; i++) {
    const Pair& pair = pairs[i];
    batch.push_back({pair.shape, {Memory(pair.task), pair.shape.dtype}, Memory(pair.merged)});
  }
  return batch;
}

std::shared_ptr<File> CodesFile() {
  static const std::shared_ptr<File> file = File::OpenTemporaryBeside("step_test.codes");
  return file;
}

/// Both passes, in batches of random sizes.
CodedResult EncodeAll(const std::vector<Pair>& pairs, float step, Engine& random, Stream* stream) {
  constexpr uint64_t kOffset = 24;
  StepEncoder encoder(step, 0.65f, Shapes(pairs), CodesFile(), kOffset);
  RunControl control(nullptr, 1 + random() % 2);
  const auto pass = [&](auto method) {
    for (size_t at = 0; at < pairs.size();) {
      const size_t end = std::min(pairs.size(), at + 1 + random() % 4);
      (encoder.*method)(Batch(pairs, at, end), control);
      at = end;
    }
  };
  pass(&StepEncoder::Count);
  encoder.Prepare();
  pass(&StepEncoder::Encode);
  CodedResult result = encoder.Finish();
  *stream = {result.tables, result.directory, Bytes(result.codes_bytes)};
  CodesFile()->ReadAt(stream->codes.data(), stream->codes.size(), kOffset);
  return result;
}

Bytes Padded(Bytes bytes) {
  bytes.resize((bytes.size() + 7) / 8 * 8);
  return bytes;
}

/// Every tensor of the stream added to θ*, as unfolding does it; false: PACK_INVALID. `out` may be null.
bool Decode(const std::vector<Pair>& pairs, float step, const Stream& stream, std::vector<Bytes>* out,
            std::string* why = nullptr) {
  try {
    const auto task =
        OpenStepTask(step, Shapes(pairs), {Memory(stream.tables), Memory(stream.directory), Memory(stream.codes)});
    Scratch scratch;
    for (size_t t = 0; t < pairs.size(); t++) {
      const Dtype dtype = pairs[t].shape.dtype;
      Bytes bytes = pairs[t].merged;
      const auto remainder = task->Open(t);
      const uint64_t elements = pairs[t].shape.elements();
      for (uint64_t b = 0; b < BlockCount(elements); b++) {
        const auto n = static_cast<size_t>(ElementsOfBlock(elements, b));
        // A copy of exactly the block, so that ASan sees a write behind it.
        uint8_t* at = Item(&bytes, dtype, b * kBlockElements);
        Bytes block(at, at + n * ItemSize(dtype));
        std::vector<uint64_t> marks((n + 63) / 64);
        remainder->Marks(b, n, marks.data(), scratch, 0);
        remainder->Apply(b, n, block.data(), scratch, 0);
        for (size_t i = 0; i < n; i++) {
          const bool same = memcmp(&block[i * ItemSize(dtype)], at + i * ItemSize(dtype), ItemSize(dtype)) == 0;
          CHECK(same || (marks[i / 64] >> (i % 64) & 1) != 0, "element %zu changed without a mark", i);
        }
        memcpy(at, block.data(), block.size());
      }
      if (out) out->push_back(std::move(bytes));
    }
    return true;
  } catch (const Error& error) {
    CHECK(error.code() == "PACK_INVALID", "%s: %s", error.code().c_str(), error.what());
    if (why) *why = error.what();
    return false;
  }
}

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
      const int32_t q = own == star ? 0 : quantizer(own - star);
      const float size = static_cast<float>(q < 0 ? -q : q) * step;
      Bytes expected(merged.begin() + i * ItemSize(shape.dtype),
                     merged.begin() + (i + 1) * ItemSize(shape.dtype));
      if (q != 0) Put(&expected, shape.dtype, 0, star + (q < 0 ? -size : size));
      CHECK(memcmp(expected.data(), Item(&decoded[t], shape.dtype, i), expected.size()) == 0,
            "%s element %llu, q = %d", shape.name.c_str(), static_cast<unsigned long long>(i), q);
      const double off = static_cast<double>(own) - Widened(decoded[t], shape.dtype, i);
      error += off * off;
      kept += q != 0;
    }
  }
  CHECK(kept == result.kept, "%llu kept", static_cast<unsigned long long>(kept));
  CHECK(std::fabs(error - result.error_squared) <= 1e-5 * error + 1e-12, "%g, not %g", result.error_squared, error);
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
      const uint64_t columns = random() % 9 == 0 ? 32760 + random() % 40 : 1 + random() % (random() % 2 ? 9 : 2000);
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

/// A joint block, an own block, a joint block of which one segment is empty.
std::vector<Pair> DamagedPairs(Engine& random) {
  std::vector<Pair> pairs;
  pairs.push_back(MakePair("a", Dtype::kF16, 1, 70, 0.3f, 2, random));
  pairs.push_back(MakePair("b", Dtype::kF32, 3, 100, 2, 3, random));
  pairs.push_back(MakePair("c", Dtype::kBF16, 1, 40000, 0.4f, 90, random));
  pairs.push_back(MakePair("d", Dtype::kF8E5M2, 1, 5, 1, 0, random));
  pairs.push_back(MakePair("e", Dtype::kF8E4M3, 1, 50, 1, 1, random));
  return pairs;
}

void Spoil(Bytes* bytes, Engine& random) {
  const size_t n = bytes->size();
  switch (random() % 8) {
    case 0:
      bytes->resize(random() % (n + 1));
      return;
    case 1:
      for (size_t i = 1 + random() % 20; i > 0; i--) bytes->push_back(static_cast<uint8_t>(random() % 3));
      return;
    case 2:
      for (uint8_t& byte : *bytes) byte = static_cast<uint8_t>(random());
      return;
    case 3: {  // a huge varint in the middle
      Bytes varint;
      WriteVarint(random() >> (random() % 64), &varint);
      const auto at = bytes->begin() + static_cast<std::ptrdiff_t>(random() % (n + 1));
      bytes->insert(at, varint.begin(), varint.end());
      return;
    }
    case 4:
      if (n > 0) (*bytes)[random() % n] = random() % 2 ? 0xFF : 0;
      return;
    default:
      for (size_t i = 1 + random() % 3; i > 0 && n > 0; i--) (*bytes)[random() % n] ^= 1U << random() % 8;
  }
}

void Damage() {
  Engine random(2);
  const std::vector<Pair> pairs = DamagedPairs(random);
  Stream honest;
  EncodeAll(pairs, 0.1f, random, &honest);
  CHECK(Decode(pairs, 0.1f, honest, nullptr), "the honest stream");
  size_t refused = 0;
  constexpr int kRounds = 6000;
  for (int round = 0; round < kRounds; round++) {
    Stream stream = honest;
    if (random() % 2) stream = {Padded(stream.tables), Padded(stream.directory), Padded(stream.codes)};
    Bytes* const arrays[] = {&stream.tables, &stream.directory, &stream.codes};
    for (size_t i = 1 + random() % 2; i > 0; i--) Spoil(arrays[random() % 3], random);
    refused += Decode(pairs, 0.1f, stream, nullptr) ? 0 : 1;
  }
  CHECK(refused > kRounds / 2, "only %zu of %d damaged streams were refused", refused, kRounds);
  // A flipped bit of the codes decodes to something else, or is noticed; cut and long ones always are.
  for (size_t cut = 1; cut <= honest.codes.size(); cut++) {
    Stream stream = honest;
    stream.codes.resize(honest.codes.size() - cut);
    CHECK(!Decode(pairs, 0.1f, stream, nullptr), "%zu bytes of codes are missing", cut);
  }
  for (Bytes Stream::*array : {&Stream::tables, &Stream::directory, &Stream::codes}) {
    Stream stream = honest;
    (stream.*array).resize((stream.*array).size() + 8);
    CHECK(!Decode(pairs, 0.1f, stream, nullptr), "eight bytes of padding");
    stream = honest;
    (stream.*array).push_back(1);
    CHECK(!Decode(pairs, 0.1f, stream, nullptr), "padding that is not zero");
  }
}

Bytes Varints(const std::vector<uint64_t>& values) {
  Bytes bytes;
  for (const uint64_t value : values) WriteVarint(value, &bytes);
  return bytes;
}

/// Tables, directory and codes written by hand, each with one lie.
void Lies() {
  Engine random(3);
  std::vector<Pair> pairs;
  pairs.push_back(MakePair("w", Dtype::kF32, 1, 40000, 1, 0, random));
  // One pair whose only symbols are run 0 and level 0, which take no bits: each entry takes one, its sign.
  const Bytes tables = Varints({1, 1, 4096, 1, 4096});
  Bytes one = {0, 0, 1, 0, 0, 0, 2, 0};  // x1 = 2¹⁷: one sign bit
  struct Lie {
    const char* name;
    Bytes tables, directory, codes;
    bool decodes;
  };
  const Lie lies[] = {
      {"nothing", tables, Varints({1, 0, 0}), one, true},
      {"no table and no entries", Varints({0}), Varints({0}), {}, true},
      {"a negative entry", tables, Varints({1, 0, 0}), {0, 0, 1, 0, 1, 0, 2, 0}, true},
      {"no entries but a stream", tables, Varints({0}), one, false},
      {"entries above the elements", tables, Varints({40001, 0, 0}), one, false},
      {"2^64 - 1 entries", tables, Varints({~uint64_t{0}, 0, 0}), one, false},
      {"more entries than bits", tables, Varints({40000, 0, 0}), one, false},
      {"an entry less than bits", tables, Varints({1, 0, 0}), {0, 0, 1, 0, 0, 0, 4, 0}, false},
      {"a pair that there is not", tables, Varints({1, 1, 0}), one, false},
      {"pair 256", tables, Varints({1, 256, 0}), one, false},
      {"pair 2^63", tables, Varints({1, uint64_t{1} << 63, 0}), one, false},
      {"2^62 words", tables, Varints({1, 0, uint64_t{1} << 62}), one, false},
      {"2^63 words, whose bytes are 0 in 64 bits", tables, Varints({1, 0, uint64_t{1} << 63}), one, false},
      {"more words than an entry takes", tables, Varints({1, 0, 5}), Bytes(18), false},
      {"words that are not there", tables, Varints({1, 0, 4}), one, false},
      {"words that are not used", tables, Varints({1, 0, 1}), {0, 0, 1, 0, 0, 0, 2, 0, 0, 0}, false},
      {"a state below 2^16", tables, Varints({1, 0, 0}), {0, 0, 0, 0, 0, 0, 2, 0}, false},
      {"states of zero", tables, Varints({1, 0, 0}), Bytes(8), false},
      {"an end state that is not 2^16", tables, Varints({1, 0, 0}), {1, 0, 1, 0, 0, 0, 2, 0}, false},
      {"no directory", tables, {}, one, false},
      {"a cut directory", tables, Varints({1, 0}), one, false},
      {"a padded varint", tables, {0x81, 0x00, 0, 0}, one, false},
      {"a segment too many", tables, Varints({1, 0, 0, 1, 0, 0}), one, false},
      {"no tables", {}, Varints({1, 0, 0}), one, false},
      {"257 pairs", Varints({257, 1, 4096, 1, 4096}), Varints({1, 0, 0}), one, false},
      {"2^64 - 1 pairs", Varints({~uint64_t{0}}), Varints({1, 0, 0}), one, false},
      {"256 pairs that are not there", Varints({256, 1, 4096, 1, 4096}), Varints({1, 0, 0}), one, false},
      {"half a pair", Varints({1, 1, 4096}), Varints({1, 0, 0}), one, false},
      {"a table without symbols", Varints({1, 0, 1, 4096}), Varints({1, 0, 0}), one, false},
      {"frequencies below 4096", Varints({1, 1, 4095, 1, 4096}), Varints({1, 0, 0}), one, false},
      {"frequencies above 4096", Varints({1, 2, 4096, 1, 1, 4096}), Varints({1, 0, 0}), one, false},
      {"a frequency of 2^16 + 4096", Varints({1, 1, 65536 + 4096, 1, 4096}), Varints({1, 0, 0}), one, false},
      {"frequencies that wrap", Varints({1, 2, ~uint64_t{0}, 4097, 1, 4096}), Varints({1, 0, 0}), one, false},
  };
  for (const Lie& lie : lies) {
    CHECK(Decode(pairs, 1, {lie.tables, lie.directory, lie.codes}, nullptr) == lie.decodes, "%s", lie.name);
  }
  // A table of 65 symbols: number codes have 64 tokens.
  std::vector<uint64_t> wide = {1, 65};
  for (int s = 0; s < 65; s++) wide.push_back(s < 64 ? 64 : 0);
  wide.back() = 64;
  wide[2] = 0;
  wide.insert(wide.end(), {1, 4096});
  CHECK(!Decode(pairs, 1, {Varints(wide), Varints({1, 0, 0}), one}, nullptr), "65 symbols");
  // The longest run: element 57 344 + extra of a block of 40 000.
  std::vector<uint64_t> far = {1, 64};
  for (int s = 0; s < 63; s++) far.push_back(0);
  far.insert(far.end(), {4096, 1, 4096});
  CHECK(!Decode(pairs, 1, {Varints(far), Varints({1, 0, 1}), {0, 0, 1, 0, 0, 0, 2, 0, 0, 0}}, nullptr),
        "a position behind the segment");
}

/// Sizes that lie are refused before memory is taken for them.
void LyingSizes() {
  std::vector<CodedTensor> shapes = {{"huge", Dtype::kF32, 1, (uint64_t{1} << 53) - 1}};
  const Bytes tables = Varints({0}), directory = Varints({0});
  const auto refused = [&](const CodedArrays& arrays, const char* what) {
    try {
      OpenStepTask(1, shapes, arrays);
    } catch (const Error& error) {
      CHECK(error.code() == "PACK_INVALID" || error.code() == "FILE_TRUNCATED", "%s: %s", what, error.what());
      return;
    }
    CHECK(false, "%s was accepted", what);
  };
  refused({Memory(tables), Memory(directory), {}}, "a short directory of a huge tensor");
  // More than memory holds, in a file that does not.
  const Region endless = Region::OfFile(CodesFile(), 0, uint64_t{1} << 39);
  refused({Memory(tables), endless, {}}, "a directory of 2^39 bytes");
  refused({endless, Memory(directory), {}}, "tables of 2^39 bytes");
  shapes[0].columns = 10;
  refused({Memory(tables), endless, {}}, "a directory of 2^39 bytes for ten elements");
  refused({Memory(tables), Memory(directory), endless}, "codes of 2^39 bytes");
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
  Lies();
  LyingSizes();
  EncoderOrder();
  RoundTrips();
  Damage();
  return 0;
}
