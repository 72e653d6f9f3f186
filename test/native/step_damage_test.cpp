// Nothing that a damaged file of codec step holds makes its reader crash, hang, allocate without bounds or
// leave its arrays (run under ASan and UBSan): it decodes to something, or is PACK_INVALID.
#include "core/code_table.h"
#include "step_kit.h"

using namespace taskfold;

namespace {

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

}  // namespace

int main() {
  Lies();
  LyingSizes();
  Damage();
  return 0;
}
