// What a delta's starts say of a block, as CPU and GPU understand them: exact for true starts, inside the
// delta for any.
#include "core/block_scatter.h"

#include <vector>

#include "check.h"

using namespace taskfold;

namespace {

void CountsBlocks() {
  const struct {
    uint64_t elements, blocks;
  } cases[] = {{0, 0}, {1, 1}, {65536, 1}, {65537, 2}, {UINT64_MAX, uint64_t{1} << 48}};
  for (const auto& c : cases) {
    CHECK(BlockCount(c.elements) == c.blocks, "%llu elements", static_cast<unsigned long long>(c.elements));
  }
  CHECK(ElementsOfBlock(65537, 0) == 65536 && ElementsOfBlock(65537, 1) == 1, "the last block is shorter");
  CHECK(ElementsOfBlock(UINT64_MAX, (uint64_t{1} << 48) - 1) == 65535, "no overflow");
}

template <class Start>
void CheckEntries(const std::vector<Start>& starts, uint64_t kept, uint64_t elements, uint64_t block,
                  const BlockEntries& expected, const char* what) {
  const BlockEntries found = EntriesOfBlock(starts.data(), kept, elements, block);
  CHECK(found.begin == expected.begin && found.count == expected.count && found.refused == expected.refused,
        "%s: begin %llu, count %u, refused %llu", what, static_cast<unsigned long long>(found.begin),
        found.count, static_cast<unsigned long long>(found.refused));
}

template <class Start>
void ReadsStarts() {
  const uint64_t n = 65536 + 3;
  CheckEntries<Start>({0, 5, 7}, 7, n, 0, {0, 5, 0}, "true");
  CheckEntries<Start>({0, 5, 7}, 7, n, 1, {5, 2, 0}, "true, last");
  CheckEntries<Start>({0, 0, 0}, 0, n, 1, {0, 0, 0}, "empty");
  CheckEntries<Start>({2, 5, 7}, 7, n, 0, {2, 3, 2}, "two entries before the first");
  CheckEntries<Start>({0, 5, 6}, 7, n, 1, {5, 1, 1}, "one entry behind the last");
  CheckEntries<Start>({0, 5, 9}, 7, n, 1, {5, 2, 1}, "more than kept");
  CheckEntries<Start>({0, 6, 4}, 7, n, 1, {4, 0, 4}, "falling");
  CheckEntries<Start>({0, 2, 7}, 7, n, 1, {2, 3, 2}, "more than the block has elements");
  const Start most = static_cast<Start>(~Start{0});
  CheckEntries<Start>({most, most, most}, 7, n, 0, {7, 0, 8}, "the largest number");
}

template <class Start>
void StaysInside(Random& random) {
  for (int i = 0; i < 20000; i++) {
    const uint64_t elements = 1 + random.Below(200003), kept = random.Below(static_cast<unsigned>(elements));
    std::vector<Start> starts(BlockCount(elements) + 1);
    for (Start& start : starts) {
      start =
          static_cast<Start>(random.Below(3) ? random.Below(static_cast<unsigned>(kept + 2)) : random.Next());
    }
    for (uint64_t b = 0; b < BlockCount(elements); b++) {
      const BlockEntries entries = EntriesOfBlock(starts.data(), kept, elements, b);
      CHECK(entries.begin <= kept && entries.count <= kept - entries.begin, "outside the delta");
      CHECK(entries.count <= ElementsOfBlock(elements, b), "more than the block has elements");
    }
  }
}

}  // namespace

int main() {
  CountsBlocks();
  ReadsStarts<uint32_t>();
  ReadsStarts<uint64_t>();
  Random random(5);
  StaysInside<uint32_t>(random);
  StaysInside<uint64_t>(random);
  std::printf("block_scatter: passed\n");
  return 0;
}
