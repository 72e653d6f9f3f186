// Philox4x32-10 against the known answers that its authors publish with Random123 (kat_vectors), and what the
// test matrix of the randomized SVD is made of.
#include "core/philox.h"

#include <cmath>

#include "check.h"

using namespace taskfold;

namespace {

struct KnownAnswer {
  PhiloxBlock counter;
  uint32_t key[2];
  PhiloxBlock answer;
};

constexpr uint32_t kOnes = 0xFFFFFFFFu;
constexpr KnownAnswer kKnown[] = {
    {{{0, 0, 0, 0}}, {0, 0}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
    {{{kOnes, kOnes, kOnes, kOnes}}, {kOnes, kOnes}, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
    {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
     {0xa4093822, 0x299f31d0},
     {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
};

}  // namespace

int main() {
  for (const KnownAnswer& known : kKnown) {
    const PhiloxBlock found = Philox4x32(known.counter, known.key[0], known.key[1]);
    for (int i = 0; i < 4; i++) CHECK(found.word[i] == known.answer.word[i], "%08x", found.word[i]);
  }
  for (int bit = 0; bit <= 32; bit++) {
    const uint32_t low = bit == 32 ? kOnes : (1u << bit) - 1;
    CHECK(BitCount(low) == bit && BitCount(~low) == 32 - bit, "bit count of %08x", low);
  }
  double sum = 0, squares = 0, fourth = 0;
  constexpr int kRows = 20000;
  for (int row = 0; row < kRows; row++) {
    float entries[4];
    TestMatrixEntries(77, static_cast<uint64_t>(row), static_cast<uint32_t>(row % 5), entries);
    for (const float x : entries) {
      CHECK(x >= -16 && x <= 16 && x == std::floor(x), "%f", static_cast<double>(x));
      sum += static_cast<double>(x);
      squares += static_cast<double>(x) * static_cast<double>(x);
      fourth += std::pow(static_cast<double>(x), 4);
    }
  }
  const double n = 4.0 * kRows;
  // Binomial of 32 fair bits: variance σ² = 8, fourth moment 3σ⁴ − σ²/2 = 188.
  CHECK(std::fabs(sum / n) < 0.05, "mean %f", sum / n);
  CHECK(std::fabs(squares / n - 8) < 0.2, "variance %f", squares / n);
  CHECK(std::fabs(fourth / n - 188) < 10, "fourth moment %f", fourth / n);
  float one[4], other[4];
  TestMatrixEntries(1, 5, 6, one);
  TestMatrixEntries(uint64_t{1} << 32, 5, 6, other);
  CHECK(one[0] != other[0] || one[1] != other[1] || one[2] != other[2] || one[3] != other[3], "seeds differ");
  std::puts("ok");
}
