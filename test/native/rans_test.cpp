// Number codes, tables and rANS streams: what is written is read again, and damage is noticed.
#include <random>

#include "check.h"
#include "core/code_table.h"
#include "core/number_code.h"
#include "core/rans.h"

using namespace taskfold;

namespace {

struct Operation {
  bool symbol;
  uint32_t state, value, bits;
};

void Numbers() {
  for (uint32_t v = 0; v <= kMaxNumber; v++) {
    const NumberCode code = EncodeNumber(v);
    CHECK(code.token < kNumberTokens && code.extra_bits == ExtraBits(code.token), "%u", v);
    CHECK(DecodeNumber(code.token, code.extra) == v, "%u", v);
  }
  for (int32_t q = -32767; q <= 32767; q++) CHECK(UnZigZag(ZigZag(q)) == q, "%d", q);
}

void Varints() {
  for (const uint64_t value : {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{1} << 32, ~uint64_t{0}}) {
    std::vector<uint8_t> bytes;
    WriteVarint(value, &bytes);
    size_t at = 0;
    uint64_t read = 1;
    CHECK(ReadVarint(bytes.data(), bytes.size(), &at, &read) && read == value && at == bytes.size(), "%llu",
          static_cast<unsigned long long>(value));
    at = 0;
    CHECK(!ReadVarint(bytes.data(), bytes.size() - 1, &at, &read), "a varint that is cut");
  }
  const uint8_t padded[] = {0x80, 0x00};
  size_t at = 0;
  uint64_t read = 0;
  CHECK(!ReadVarint(padded, 2, &at, &read), "a longer form");
}

void Streams() {
  std::mt19937 random(1);
  for (int round = 0; round < 500; round++) {
    std::vector<uint64_t> counts(1 + random() % 256);
    for (uint64_t& count : counts) count = random() % 3 == 0 ? 0 : random() % (round % 5 == 0 ? 1000000 : 20);
    counts[random() % counts.size()] += 1;
    const CodeTable table = CodeTable::Fit(counts);
    std::vector<uint8_t> stored;
    table.Write(&stored);
    size_t at = 0;
    const CodeTable again = CodeTable::Parse(stored.data(), stored.size(), &at);
    CHECK(at == stored.size() && again.size() == table.size(), "round %d", round);
    CHECK(table.Cost(counts) >= EntropyBits(counts) - 1e-6, "below the entropy");
    const std::vector<RansSlot> slots = again.Slots();
    CHECK(slots.size() == kRansTotal, "%zu slots", slots.size());

    std::vector<Operation> operations;
    for (size_t i = random() % 3000; i > 0; i--) {
      const uint32_t state = random() % 2;
      if (random() % 2 == 0) {
        operations.push_back({true, state, slots[random() % kRansTotal].symbol, 0});
      } else {
        const uint32_t bits = random() % 17;
        operations.push_back({false, state, static_cast<uint32_t>(random()) & ((1U << bits) - 1), bits});
      }
    }
    RansWriter writer;
    for (size_t i = operations.size(); i-- > 0;) {
      const auto& [symbol, state, value, bits] = operations[i];
      if (symbol) {
        writer.Symbol(state, table.Start(value), table.Frequency(value));
      } else {
        writer.Bits(state, value, bits);
      }
    }
    std::vector<uint8_t> bytes;
    const size_t expected = writer.Bytes();
    writer.Finish(&bytes);
    CHECK(bytes.size() == expected, "%zu bytes", bytes.size());
    const auto read_all = [&](const std::vector<uint8_t>& from) {
      RansReader reader(from.data(), from.size());
      bool same = true;
      for (const auto& [symbol, state, value, bits] : operations) {
        same &= value == (symbol ? reader.Symbol(state, slots.data()) : reader.Bits(state, bits));
      }
      return same && reader.Finished();
    };
    CHECK(read_all(bytes), "round %d", round);
    std::vector<uint8_t> cut(bytes.begin(), bytes.end() - 2);
    CHECK(!read_all(cut), "a stream that is cut");
    std::vector<uint8_t> damaged = bytes;
    damaged[random() % damaged.size()] ^= static_cast<uint8_t>(1 + random() % 255);
    read_all(damaged);  // whatever it finds, it stays inside
  }
}

}  // namespace

int main() {
  Numbers();
  Varints();
  Streams();
  return 0;
}
